//! Judges the draws of k-means++.

use askem_kernels::Call;
use askem_kernels::k_means_plus_plus::BLOCK;
use askem_kernels::tolerance::gamma;

use super::Trial;

impl Trial {
    /// Whether the best candidate leaves as little as any other, and each row lies where its number says, within the rounding of
    /// the sums; returns the largest part of it that one used.
    pub(super) fn drawn(&self, buffer: &str, best: &[u32], got: &[u32]) -> Result<f64, String> {
        let Call::KMeansPlusPlusDraw(p) = self.call else { unreachable!("no other pass draws") };
        let [rows, trials] = [p.rows, p.trials].map(|size| size as usize);
        let blocks = rows.div_ceil(BLOCK as usize);
        let [nearest, sq_dist, left, uniforms] =
            [0, 1, 2, 3].map(|i| self.reads[i].iter().map(|&w| f64::from(f32::from_bits(w))));
        let [nearest, sq_dist, left, uniforms]: [Vec<f64>; 4] =
            [nearest.collect(), sq_dist.collect(), left.collect(), uniforms.collect()];
        let round = self.writes[2][0] as usize;
        if round >= p.k as usize {
            let before = &self.writes[usize::from(buffer == "drawn")];
            return if got == before { Ok(0.0) } else { Err("picks are full".into()) };
        }
        let of_trial = |t: usize| &left[t * blocks..][..blocks];
        let sum = |t: usize| of_trial(t).iter().sum::<f64>();
        let best = best[0] as usize;
        if best >= trials {
            return Err(format!("element 0: got {best} of {trials} candidates"));
        }
        if buffer == "best" {
            let least = (0..trials).map(sum).fold(f64::INFINITY, f64::min);
            let allowed = gamma(blocks as u32) * (sum(best) + least);
            let more = sum(best) - least;
            let is_first = (0..best).all(|t| of_trial(t) != of_trial(best));
            let is_least = more <= allowed && is_first;
            let used = if more > 0.0 { more / allowed } else { 0.0 };
            return if is_least { Ok(used) } else { Err(format!("element 0: got {best}")) };
        }
        let total = sum(best);
        // The running sums, the number's product with the sum of all, and what blocks leave of it.
        let allowed = gamma((blocks + BLOCK as usize + 4) as u32) * total;
        let mut worst = 0.0f64;
        for (t, &row) in got.iter().enumerate() {
            let row = row as usize;
            if row >= rows {
                return Err(format!("element {t}: got {row} of {rows} rows"));
            }
            let goal = uniforms[round * trials + t] * total;
            let (block, first) = (row / BLOCK as usize, row / BLOCK as usize * BLOCK as usize);
            let end = rows.min(first + BLOCK as usize);
            let terms: Vec<f64> =
                (first..end).map(|i| nearest[i].min(sq_dist[best * rows + i])).collect();
            let (off_block, before) = off(of_trial(best), block, goal);
            let (off_row, _) = off(&terms, row - first, goal - before);
            let off = off_block.max(off_row);
            // So that NaN fails.
            let near = off <= allowed;
            if !near {
                return Err(format!(
                    "element {t}: row {row} is off by {off:e}, allowed {allowed:e}"
                ));
            }
            worst = worst.max(if off > 0.0 { off / allowed } else { 0.0 });
        }
        Ok(worst)
    }
}

/// How far `goal` lies from the part of the running sum that a term makes up, and the sum of the terms before it. The last term that is
/// not zero reaches up to any goal; where all are zero, it is the first that has to be chosen.
fn off(terms: &[f64], chosen: usize, goal: f64) -> (f64, f64) {
    let before: f64 = terms[..chosen].iter().sum();
    let Some(last) = terms.iter().rposition(|&term| term > 0.0) else {
        return (if chosen == 0 { 0.0 } else { f64::INFINITY }, before);
    };
    if terms[chosen] <= 0.0 {
        return (f64::INFINITY, before);
    }
    let above = if chosen == last { 0.0 } else { goal - (before + terms[chosen]) };
    ((before - goal).max(above).max(0.0), before)
}
