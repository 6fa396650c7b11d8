//! Predictions of what is in view, by the network that was published last.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Once};
use std::thread;

use tokio::sync::oneshot;

use super::Shared;
use crate::data::pool::{PatchReader, Region};
use crate::error::{Error, Result};
use crate::learning::predict::area_foreground;
use crate::network::model::Model;

/// What is to be predicted.
#[derive(Clone, Debug)]
pub(in crate::annotate) struct Area {
    pub(in crate::annotate) z: usize,
    /// Rows and columns within the volume.
    pub(in crate::annotate) area: Region,
    /// The entropy in place of the probability.
    pub(in crate::annotate) uncertainty: bool,
}

/// The network's number, and a byte for each pixel; nothing before there is a network.
type Answer = Result<Option<(u64, Vec<u8>)>>;

struct Request {
    area: Area,
    answer: oneshot::Sender<Answer>,
}

/// A thread that predicts.
pub(in crate::annotate) struct Predictor {
    requests: Sender<Request>,
}

impl Predictor {
    /// Starts the thread, which ends when the predictor is dropped.
    ///
    /// # Errors
    /// If the system has no thread to give.
    pub(in crate::annotate) fn start(
        model: Model,
        reader: PatchReader,
        shared: Arc<Shared>,
    ) -> Result<Self> {
        let (requests, receiver) = channel();
        let work = move || serve(model, &reader, &shared, &receiver);
        thread::Builder::new()
            .name("predictor".into())
            .spawn(work)
            .map_err(|e| Error::Device(format!("no thread to predict on: {e}")))?;
        Ok(Self { requests })
    }

    /// Predicts an area: 255 is a probability of 1, or the entropy of a coin.
    ///
    /// # Errors
    /// What the device says, or if the thread has ended.
    pub(in crate::annotate) async fn predict(&self, area: Area) -> Answer {
        let ended = || Error::Device("the predictor has ended; start askem annotate again".into());
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request { area, answer }).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

fn serve(mut model: Model, reader: &PatchReader, shared: &Shared, requests: &Receiver<Request>) {
    let mut loaded = 0;
    let warn_once = Once::new();
    for Request { area, answer } in requests {
        // Who has gone on to another patch waits for this one no more.
        if answer.is_closed() {
            continue;
        }
        let found = predict(&mut model, reader, shared, &mut loaded, &area);
        if let Err(e) = &found {
            warn_once.call_once(|| shared.change(|status| status.problem = Some(e.to_string())));
        }
        let _ = answer.send(found);
    }
}

fn predict(
    model: &mut Model,
    reader: &PatchReader,
    shared: &Shared,
    loaded: &mut u64,
    area: &Area,
) -> Answer {
    let Some(network) = shared.network() else { return Ok(None) };
    let (version, weights) = &*network;
    if version != loaded {
        model.set_weights(weights)?;
        *loaded = *version;
    }
    let p = area_foreground(model, reader, area.z, &area.area, &mut |_| Ok(()))?;
    let byte = |p: f32| if area.uncertainty { entropy(p) } else { p };
    Ok(Some((*version, p.into_iter().map(|p| (255.0 * byte(p)).round() as u8).collect())))
}

/// The entropy of a coin that shows foreground with probability `p`, in bits.
fn entropy(p: f32) -> f32 {
    let part = |p: f32| if p > 0.0 { -p * p.log2() } else { 0.0 };
    part(p) + part(1.0 - p)
}

#[cfg(test)]
mod tests {
    use super::entropy;

    #[test]
    fn a_fair_coin_is_the_least_sure() {
        assert_eq!([0.0, 0.5, 1.0].map(entropy), [0.0, 1.0, 0.0]);
        assert!((entropy(0.11) - 0.5).abs() < 1e-3);
    }
}
