//! Typicality: what is like many others, from each cluster that has no label yet.
//!
//! Source: Hacohen, Dekel and Weinshall, "Active Learning on a Budget" (arXiv 2202.02794), TypiClust. There embeddings come from
//! self-supervised training; here from the network as it is, untrained where it stands for the initial set.

use super::{Candidates, Needs, Pick, Strategy};
use crate::error::Result;
use crate::learning::geometry::{Geometry, Points};

/// Neighbours that a patch's typicality looks at, as in the source.
const NEIGHBOURS: usize = 20;

/// Clusters at most, as in the source.
const CLUSTERS: usize = 500;

/// The most typical patches of the largest clusters with the fewest labels.
///
/// All patches, labelled or not, fall in as many clusters as there will be labels. Each pick comes from the cluster with the
/// fewest labelled and picked patches, the largest of those, and is the one with the smallest mean distance to its 20 nearest neighbours
/// in the cluster. A pick's score is its typicality, the inverse of that distance.
#[derive(Clone, Copy, Debug)]
pub struct TypiClust;

impl Strategy for TypiClust {
    fn name(&self) -> &'static str {
        "typiclust"
    }

    fn needs(&self) -> Needs {
        Needs { embeddings: true, ..Needs::default() }
    }

    fn select(
        &self,
        candidates: &Candidates<'_>,
        k: usize,
        geometry: &mut dyn Geometry,
    ) -> Result<Vec<Pick>> {
        let count = candidates.indices.len();
        let k = k.min(count);
        if k == 0 {
            return Ok(Vec::new());
        }
        let dim = candidates.embeddings.dim;
        let values = [candidates.embeddings.values, candidates.labelled.values].concat();
        let points = Points { values: &values, dim };
        let wanted = (candidates.labelled.rows() + k).min(CLUSTERS);
        let seed = candidates.seed ^ candidates.iteration.rotate_left(32);
        let assignment = geometry.k_means(points, wanted, seed)?.assignment;

        let mut clusters = vec![Cluster::default(); wanted];
        for (row, &cluster) in assignment.iter().enumerate() {
            let cluster = &mut clusters[cluster as usize];
            cluster.rows.push(row);
            cluster.labelled += usize::from(row >= count);
        }
        for cluster in &mut clusters {
            cluster.rank(points, count);
        }
        let mut picks = Vec::with_capacity(k);
        while picks.len() < k {
            // The first of equals.
            let next = clusters
                .iter_mut()
                .filter(|cluster| !cluster.ranked.is_empty())
                .min_by_key(|cluster| (cluster.labelled, usize::MAX - cluster.rows.len()));
            let Some(cluster) = next else { break };
            let Some((row, typicality)) = cluster.ranked.pop() else { break };
            cluster.labelled += 1;
            picks.push(Pick { index: candidates.indices[row], score: Some(typicality) });
        }
        Ok(picks)
    }
}

#[derive(Clone, Default)]
struct Cluster {
    rows: Vec<usize>,
    labelled: usize,
    /// Those that may be picked with their typicality, the most typical last.
    ranked: Vec<(usize, f32)>,
}

impl Cluster {
    /// Ranks the rows below `count`, which are not labelled.
    fn rank(&mut self, points: Points<'_>, count: usize) {
        let distance = |a: usize, b: usize| {
            let differences = points.row(a).iter().zip(points.row(b)).map(|(a, b)| a - b);
            differences.map(|d| f64::from(d) * f64::from(d)).sum::<f64>().sqrt()
        };
        let typicality = |row: usize| {
            let others = self.rows.iter().filter(|&&other| other != row);
            let mut distances: Vec<f64> = others.map(|&other| distance(row, other)).collect();
            distances.sort_by(f64::total_cmp);
            distances.truncate(NEIGHBOURS);
            if distances.is_empty() {
                return 0.0;
            }
            let mean = distances.iter().sum::<f64>() / distances.len() as f64;
            // Copies of one patch are as typical as can be told.
            (1.0 / mean.max(f64::from(f32::MIN_POSITIVE))) as f32
        };
        let mut ranked: Vec<(usize, f32)> = self
            .rows
            .iter()
            .filter(|&&row| row < count)
            .map(|&row| (row, typicality(row)))
            .collect();
        ranked.sort_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
        self.ranked = ranked;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::cpu::CpuExecutor;
    use crate::learning::geometry::DeviceGeometry;

    /// A cluster of 6 around 0, one of 4 around 100, one of 3 around 1000; the first of each is its middle.
    const POINTS: [f32; 13] =
        [0.0, 1.0, -1.0, 2.0, -2.0, 5.0, 100.0, 101.0, 99.0, 104.0, 1000.0, 1001.0, 998.0];

    fn pick(labelled: &[f32], k: usize) -> Vec<usize> {
        let indices: Vec<usize> = (0..POINTS.len()).collect();
        let candidates = Candidates {
            embeddings: Points { values: &POINTS, dim: 1 },
            labelled: Points { values: labelled, dim: 1 },
            ..Candidates::new(&indices)
        };
        let mut executor = CpuExecutor::new(Some(1)).unwrap();
        let mut geometry = DeviceGeometry::new(&mut executor);
        let picks = TypiClust.select(&candidates, k, &mut geometry).unwrap();
        picks.iter().map(|pick| pick.index).collect()
    }

    #[test]
    fn the_middle_of_each_cluster_the_largest_first() {
        assert_eq!(pick(&[], 3), [0, 6, 10]);
    }

    #[test]
    fn clusters_with_labels_wait() {
        // With the labelled point three clusters; the one around 0 has it.
        assert_eq!(pick(&[0.5], 2), [6, 10]);
    }

    #[test]
    fn all_are_picked_once_where_all_are_wanted() {
        let mut all = pick(&[], 99);
        all.sort_unstable();
        assert_eq!(all, (0..POINTS.len()).collect::<Vec<_>>());
    }
}
