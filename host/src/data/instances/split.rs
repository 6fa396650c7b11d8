//! Cutting objects that touch: a watershed on the distance transform, from the maxima that a neck
//! sets apart.
//!
//! The distance of a voxel from the outside of its component is large in bulges and small in necks.
//! A maximum of it is a marker if every way from it to a higher maximum leads through a neck that
//! is narrow: where the distance is less than a share of the distance at the maximum. (These are
//! the h-maxima of the distance's logarithm. A share fits small and large objects alike and does
//! not depend on the size of voxels.) From the markers the component is flooded, the highest voxels
//! first.
//!
//! Sources: P. Soille, Morphological image analysis (h-maxima); F. Meyer, Un algorithme optimal
//! pour la ligne de partage des eaux (1991); H. Edelsbrunner et al., Topological persistence and
//! simplification (2002), for finding the maxima in one pass.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use petgraph::unionfind::UnionFind;

use super::crop::{Crop, neighbours};
use super::distance::squared_distances;
use super::{Advance, Connectivity, InstanceOptions};
use crate::error::Result;

/// Voxels that are flooded between two questions whether to go on: some tenths of a second.
const ADVANCE: u64 = 1 << 20;

/// The parts of a component: 0 outside of it, and for its voxels the number of their part, from 1,
/// in the order of the parts' first voxels. `None` if it stays whole. No part is smaller than the
/// smallest object: a marker of such a part is dropped, so that its voxels go to its neighbours.
///
/// # Errors
/// What `advance` says.
pub(super) fn split(
    crop: &Crop,
    spacing: [f64; 3],
    options: &InstanceOptions,
    advance: &mut Advance<'_>,
) -> Result<Option<(Vec<u32>, u32)>> {
    let squared = squared_distances(crop, spacing);
    advance(0)?;
    let mut markers = markers(crop, &squared, options);
    let mut parts = loop {
        if markers.len() < 2 {
            return Ok(None);
        }
        let parts = flood(crop, &squared, &markers, options.connectivity, advance)?;
        let mut voxels = vec![0_u64; markers.len() + 1];
        parts.iter().for_each(|&part| voxels[part as usize] += 1);
        let mut large = voxels[1..].iter().map(|&voxels| voxels >= options.min_size);
        let before = markers.len();
        markers.retain(|_| large.next() == Some(true));
        if markers.len() == before {
            break parts;
        }
    };
    // By their first voxels.
    let mut names = vec![0; markers.len() + 1];
    let mut named = 0;
    for part in parts.iter_mut().filter(|part| **part > 0) {
        let name = &mut names[*part as usize];
        if *name == 0 {
            named += 1;
            *name = named;
        }
        *part = *name;
    }
    Ok(Some((parts, named)))
}

/// The maxima that become objects, the highest first; of equally high ones the first in the file
/// first.
fn markers(crop: &Crop, squared: &[f32], options: &InstanceOptions) -> Vec<u32> {
    let share = (options.split * options.split) as f32;
    let around = neighbours(crop.shape, options.connectivity);
    let mut order: Vec<u32> =
        (0..squared.len() as u32).filter(|&voxel| crop.inside[voxel as usize]).collect();
    order.sort_unstable_by(|&a, &b| {
        squared[b as usize].total_cmp(&squared[a as usize]).then(a.cmp(&b))
    });
    // Voxels get their places in this order. Those that have one fall into basins, which are sets
    // of places.
    const NONE: u32 = u32::MAX;
    let mut place = vec![NONE; squared.len()];
    let mut basins = UnionFind::<u32>::new(order.len());
    // Of each set's name the place of its maximum.
    let mut peak: Vec<u32> = (0..order.len() as u32).collect();
    let mut met = Vec::new();
    for (own, &voxel) in order.iter().enumerate() {
        met.clear();
        for step in &around {
            let next = place[(voxel as usize).wrapping_add_signed(*step)];
            if next != NONE {
                met.push(basins.find_mut(next));
            }
        }
        let own = own as u32;
        place[voxel as usize] = own;
        met.sort_unstable_by_key(|&basin| peak[basin as usize]);
        met.dedup();
        let Some((&highest, others)) = met.split_first() else { continue };
        let top = peak[highest as usize];
        // This voxel is the neck between the highest and each of the others.
        let neck = squared[voxel as usize];
        let joined = others.iter().filter(|&&basin| {
            let maximum = squared[order[peak[basin as usize] as usize] as usize];
            share * maximum <= neck
        });
        for &basin in joined.chain([&own]) {
            basins.union(basin, highest);
        }
        let name = basins.find_mut(own);
        peak[name as usize] = top;
    }
    (0..order.len() as u32)
        .filter(|&own| peak[basins.find_mut(own) as usize] == own)
        .map(|own| order[own as usize])
        .collect()
}

/// Floods the component from the markers: always the highest voxel that is wet next, of equally
/// high ones the one that got wet first; its dry neighbours get its number. Markers are numbered
/// from 1.
fn flood(
    crop: &Crop,
    squared: &[f32],
    markers: &[u32],
    connectivity: Connectivity,
    advance: &mut Advance<'_>,
) -> Result<Vec<u32>> {
    let around = neighbours(crop.shape, connectivity);
    let mut parts = vec![0; squared.len()];
    // Bits of floats that are not negative are in the order of the floats.
    let height = |voxel: u32| squared[voxel as usize].to_bits();
    let mut wet = BinaryHeap::new();
    let mut count = 0_u64;
    for (number, &marker) in (1..).zip(markers) {
        parts[marker as usize] = number;
        wet.push((height(marker), Reverse(count), marker));
        count += 1;
    }
    for turn in 0_u64.. {
        let Some((_, _, voxel)) = wet.pop() else { break };
        if turn % ADVANCE == 0 {
            advance(0)?;
        }
        for step in &around {
            let next = (voxel as usize).wrapping_add_signed(*step);
            if crop.inside[next] && parts[next] == 0 {
                parts[next] = parts[voxel as usize];
                wet.push((height(next as u32), Reverse(count), next as u32));
                count += 1;
            }
        }
    }
    Ok(parts)
}
