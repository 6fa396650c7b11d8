//! Compares what an executor wrote with the reference.

use askem_kernels::tolerance::{Tracked, compare, compare_exact};
use askem_kernels::{Arg, ArgMut, Call, Element, Real, k_means, pairwise_sq_dist};

use super::Trial;
use crate::compute::precision::Precision;

/// How an output is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Equal to the reference at `f32`.
    Exact,
    /// Within the error that the reference carries along.
    Within,
    /// The row of a nearest centre: as near as the nearest, within that error.
    Nearest,
    /// Candidates of k-means++: sums within their rounding decide.
    Drawn,
    /// What follows from the pass's first output, exactly from that as it was written.
    Follows,
}

/// What a trial shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// All outputs agree; the largest part of the allowed error that one used.
    Agrees(f64),
    /// The data are so ill-conditioned that the reference itself has no error bound.
    Unbounded,
    /// An output is wrong: which, where and how.
    Differs(String),
}

fn class(call: &Call, buffer: &str) -> Class {
    let signature = call.signature();
    match (signature.op, signature.pass, buffer) {
        ("relu" | "concat_channels" | "confusion" | "crop" | "least_confidence", _, _)
        | ("max_pool2d", "forward", _)
        | ("dropout", "mask", _)
        | ("dropout_masks", _, _) => Class::Exact,
        ("k_center_greedy", _, "next_far_row" | "next_far_sq_dist")
        | ("k_means_plus_plus", "draw", "picks")
        | ("k_means", "assign", "changes") => Class::Follows,
        ("k_means_plus_plus", "draw", _) => Class::Drawn,
        ("min_sq_dist", _, "index") | ("k_means", "assign", "assignment") => Class::Nearest,
        _ => Class::Within,
    }
}

/// A buffer as the reference at `T` sees it.
enum Memory<T> {
    Float(Vec<T>),
    Uint(Vec<u32>),
}

impl<T: Real> Memory<T> {
    fn new(words: &[u32], element: Element) -> Self {
        match element {
            Element::Uint => Self::Uint(words.to_vec()),
            Element::Float => Self::Float(
                words.iter().map(|&w| T::from_f64(f64::from(f32::from_bits(w)))).collect(),
            ),
        }
    }
}

impl Trial {
    /// What the reference writes.
    fn reference<T: Real>(&self) -> Result<Vec<Memory<T>>, String> {
        let signature = self.call.signature();
        let memory = |(words, &(_, element)): (&Vec<u32>, &(&str, Element))| {
            Memory::<T>::new(words, element)
        };
        let reads: Vec<_> = self.reads.iter().zip(signature.reads).map(memory).collect();
        let mut writes: Vec<_> = self.writes.iter().zip(signature.writes).map(memory).collect();
        let args: Vec<_> = reads
            .iter()
            .map(|m| match m {
                Memory::Float(x) => Arg::Float(x),
                Memory::Uint(x) => Arg::Uint(x),
            })
            .collect();
        let mut args_mut: Vec<_> = writes
            .iter_mut()
            .map(|m| match m {
                Memory::Float(x) => ArgMut::Float(x),
                Memory::Uint(x) => ArgMut::Uint(x),
            })
            .collect();
        self.call.reference(&args, &mut args_mut).map_err(|error| error.to_string())?;
        Ok(writes)
    }

    /// Judges what [`run`](super::run) returned for this trial.
    pub fn judge(&self, outputs: &[Option<Vec<u32>>]) -> Verdict {
        match self.worst(outputs) {
            Ok(Some(used)) => Verdict::Agrees(used),
            Ok(None) => Verdict::Unbounded,
            Err(what) => Verdict::Differs(what),
        }
    }

    fn worst(&self, outputs: &[Option<Vec<u32>>]) -> Result<Option<f64>, String> {
        use askem_kernels::tolerance::Mismatch;

        let signature = self.call.signature();
        let tracked = self.reference::<Tracked>()?;
        let exact = self.reference::<f32>()?;
        let mut worst = 0.0f64;
        for (i, &(buffer, _)) in signature.writes.iter().enumerate() {
            let at = |what: String| format!("{}: {buffer}: {what}", signature.name);
            let Some(Some(got)) = outputs.get(i) else {
                return Err(at("memory beside the buffer was written".into()));
            };
            match (class(&self.call, buffer), &tracked[i], &exact[i]) {
                (Class::Nearest, ..) => {
                    worst = worst.max(self.nearest(got).map_err(at)?);
                }
                (Class::Drawn, ..) => {
                    let first = outputs[0].as_deref().expect("it was looked at before");
                    worst = worst.max(self.drawn(buffer, first, got).map_err(at)?);
                }
                (Class::Follows, ..) => {
                    let first = outputs[0].as_deref().expect("it was looked at before");
                    compare_exact(got, &self.following(buffer, first))
                        .map_err(|e| at(e.to_string()))?;
                }
                (_, Memory::Uint(_), Memory::Uint(want)) => {
                    compare_exact(got, want).map_err(|e| at(e.to_string()))?;
                }
                (Class::Exact, _, Memory::Float(want)) => {
                    let got: &[f32] = bytemuck::cast_slice(got);
                    compare_exact(got, want).map_err(|e| at(e.to_string()))?;
                }
                (_, Memory::Float(want), _) => {
                    match compare(bytemuck::cast_slice(got), &self.loosened(want, buffer)) {
                        Ok(found) => worst = worst.max(found.used),
                        Err(Mismatch::Unbounded { .. }) => return Ok(None),
                        Err(error) => return Err(at(error.to_string())),
                    }
                }
                _ => unreachable!("both references write the same kinds of buffers"),
            }
        }
        Ok(Some(worst))
    }

    /// What is wanted of an output, with the error that the precision adds.
    fn loosened(&self, want: &[Tracked], output: &str) -> Vec<Tracked> {
        let is_half = self.is_half(output);
        let of = |&want: &Tracked| {
            // Matrix units may cut off where others round.
            let summed =
                if self.precision == Precision::Tensor { want.loosened(4.0) } else { want };
            if is_half { summed.as_f16() } else { summed }
        };
        want.iter().map(of).collect()
    }

    /// The words of a buffer that follow from those of the first output.
    fn following(&self, buffer: &str, first: &[u32]) -> Vec<u32> {
        match self.call {
            Call::KCenterGreedyAddCenter(p) => {
                let block_rows = p.block_rows() as usize;
                let farthest = |(b, block): (usize, &[u32])| {
                    let at = |i: usize| f32::from_bits(block[i]);
                    let row = (1..block.len()).fold(0, |a, i| if at(i) > at(a) { i } else { a });
                    let row_of_all = (b * block_rows + row) as u32;
                    if buffer == "next_far_row" { row_of_all } else { block[row] }
                };
                first.chunks(block_rows).enumerate().map(farthest).collect()
            }
            Call::KMeansPlusPlusDraw(p) => {
                let (drawn, mut picks) = (&self.writes[1], self.writes[2].clone());
                let count = picks[0];
                if count < p.k {
                    picks[1 + count as usize] = drawn[first[0] as usize];
                    picks[0] = count + 1;
                }
                picks
            }
            Call::KMeansAssign(_) => {
                let tiles = first.chunks(k_means::TILE as usize);
                let before = self.writes[0].chunks(k_means::TILE as usize);
                let changes = |(now, before): (&[u32], &[u32])| {
                    now.iter().zip(before).filter(|(now, before)| now != before).count() as u32
                };
                tiles.zip(before).map(changes).collect()
            }
            _ => unreachable!("only these write what follows from their first output"),
        }
    }

    /// Whether each row's centre is as near as its nearest one, and the lowest where distances are
    /// equal beyond doubt.
    fn nearest(&self, got: &[u32]) -> Result<f64, String> {
        let (rows, centers, dim) = match self.call {
            Call::MinSqDistForward(p) => (p.rows, p.centers, p.dim),
            Call::KMeansAssign(p) => (p.rows, p.k, p.dim),
            _ => unreachable!("only these look for the nearest"),
        };
        let params = pairwise_sq_dist::Params { rows_a: rows, rows_b: centers, dim };
        let [a, b] = [0, 1].map(|i| -> Vec<Tracked> {
            let floats = self.reads[i].iter().map(|&w| f64::from(f32::from_bits(w)));
            floats.map(Tracked::from_f64).collect()
        });
        let mut sq_dist = vec![Tracked::ZERO; rows as usize * centers as usize];
        pairwise_sq_dist::forward(&params, &a, &b, &mut sq_dist).map_err(|e| e.to_string())?;
        let point = |center: usize| &self.reads[1][center * dim as usize..][..dim as usize];
        let mut worst = 0.0f64;
        for (row, &got) in got.iter().enumerate() {
            let of_row = &sq_dist[row * centers as usize..][..centers as usize];
            let chosen = of_row
                .get(got as usize)
                .ok_or_else(|| format!("element {row}: got {got} of {centers} centres"))?;
            let nearest = of_row.iter().fold(*chosen, |a, &b| if b < a { b } else { a });
            let allowed = chosen.allowed() + nearest.allowed();
            let farther = chosen.value - nearest.value;
            // So that NaN fails.
            let near = farther <= allowed;
            if !near {
                return Err(format!(
                    "element {row}: centre {got} is farther than the nearest by {farther:e}, \
                     allowed {allowed:e}"
                ));
            }
            // Equal points have equal distances, whatever the rounding.
            let first = (0..got as usize).find(|&lower| point(lower) == point(got as usize));
            if let Some(lower) = first {
                return Err(format!("element {row}: centre {got} where {lower} is the same point"));
            }
            worst = worst.max(if farther > 0.0 { farther / allowed } else { 0.0 });
        }
        Ok(worst)
    }
}
