//! Round numbers along an axis.

/// Round numbers from 0 to the first one that is not below the largest value.
pub(super) struct Ticks {
    step: f64,
    pub(super) end: f64,
}

impl Ticks {
    /// About `count` steps up to `most`, none smaller than `least`.
    pub(super) fn new(most: f64, count: u32, least: f64) -> Self {
        let step = round_step((most / f64::from(count)).max(least));
        Self { step, end: step * (most / step - 1e-9).ceil().max(1.0) }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = f64> {
        let (step, count) = (self.step, (self.end / self.step).round() as u32);
        (0..=count).map(move |i| f64::from(i) * step)
    }

    pub(super) fn show(&self, value: f64) -> String {
        show(value, self.step)
    }
}

/// Round numbers between two values, about `count` steps apart, with their texts.
pub(super) fn between(low: f64, high: f64, count: u32) -> Vec<(f64, String)> {
    let step = round_step((high - low) / f64::from(count));
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|i| i as f64 * step).map(|value| (value, show(value, step))).collect()
}

/// The least of 1, 2, 5 and their tenfolds that is no smaller.
fn round_step(raw: f64) -> f64 {
    let power = 10f64.powf(raw.log10().floor());
    let nice = [1.0, 2.0, 5.0, 10.0].map(|m| m * power);
    nice.into_iter().find(|&s| s >= raw * 0.999).unwrap_or(10.0 * power)
}

/// With as many digits as the step has.
fn show(value: f64, step: f64) -> String {
    let digits = (-step.log10().floor()).max(0.0) as usize;
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_largest_value() {
        let show = |most, count, least| {
            let ticks = Ticks::new(most, count, least);
            ticks.values().map(|v| ticks.show(v)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(show(0.505, 6, 0.01), "0.0 0.1 0.2 0.3 0.4 0.5 0.6");
        assert_eq!(show(1.0, 6, 0.01), "0.0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(show(0.05, 6, 0.01), "0.00 0.01 0.02 0.03 0.04 0.05");
        assert_eq!(show(520.0, 8, 1.0), "0 100 200 300 400 500 600");
        assert_eq!(show(1.0, 8, 1.0), "0 1");
    }

    #[test]
    fn ticks_between_two_values_stay_between_them() {
        let show = |low, high| {
            let texts: Vec<String> = between(low, high, 4).into_iter().map(|tick| tick.1).collect();
            texts.join(" ")
        };
        assert_eq!(show(15.8, 691.2), "200 400 600");
        assert_eq!(show(0.0, 0.001), "0.0000 0.0005 0.0010");
        assert_eq!(show(-1.0, 1.0), "-1.0 -0.5 0.0 0.5 1.0");
    }
}
