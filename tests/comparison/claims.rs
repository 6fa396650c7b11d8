//! The statistics behind a claim, against plain definitions and planted cases.

use askem::learning::protocol::{Record, Seconds};
use askem::results::comparison::{
    Baseline, Series, Summary, Verdict, holm, sign_flip_p, summarize, system,
};

/// Numbers that look random and are always the same.
struct Noise(u64);

impl Noise {
    /// From 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From -1 to 1.
    fn signed(&mut self) -> f64 {
        2.0 * self.next() - 1.0
    }
}

/// Runs with a learning curve for each seed, from 20 labels on, 20 more in each iteration.
fn series(strategy: &str, curves: &[Vec<f64>]) -> Series {
    let record = |seed: usize, iteration: usize, jaccard: f64| Record {
        iteration,
        strategy: strategy.into(),
        seed: seed as u64,
        labelled: 20 * (iteration + 1),
        labelled_foreground: 0.1,
        labelled_pixels: None,
        loss: 0.5,
        initial: None,
        epochs: None,
        best: None,
        jaccard: Some(jaccard),
        class_jaccard: None,
        volume_jaccard: None,
        unseen_jaccard: None,
        changed_pixels: None,
        mean_entropy: None,
        picked: Vec::new(),
        seconds: Seconds::default(),
    };
    let run = |(seed, curve): (usize, &Vec<f64>)| {
        let records = curve.iter().enumerate().map(|(i, &j)| record(seed, i, j)).collect();
        (seed as u64, records)
    };
    Series { strategy: strategy.into(), runs: curves.iter().enumerate().map(run).collect() }
}

/// Curves that rise with the labels, `speed` times as fast as random's, and are noisy.
fn rising(seeds: usize, speed: f64, noise: f64, from: u64) -> Vec<Vec<f64>> {
    let mut random = Noise(from);
    (0..seeds)
        .map(|_| {
            let labels = (1..=10).map(|i| f64::from(20 * i));
            labels.map(|l| 0.003 * speed * l + noise * random.signed()).collect()
        })
        .collect()
}

fn of<'a>(summaries: &'a [Summary], strategy: &str) -> &'a Summary {
    summaries.iter().find(|summary| summary.strategy == strategy).unwrap()
}

fn verdict(summaries: &[Summary], strategy: &str) -> Verdict {
    let claim = of(summaries, strategy).claim.as_ref().unwrap();
    let words = [Verdict::Shown, Verdict::NotShown, Verdict::Refuted].map(|v| v.to_string());
    // One word of the three, of which one holds another.
    let found = claim.sentence.replace("not shown", "NOT");
    let count = |word: &str| found.matches(word).count();
    assert_eq!(count("NOT") + count("shown") + count("refuted"), 1, "{}", claim.sentence);
    assert!(claim.sentence.contains(&words[claim.verdict as usize]), "{}", claim.sentence);
    claim.verdict
}

/// By recursion: how many of the choices of signs that are left make a sum as far from 0.
fn count(differences: &[f64], sum: f64, observed: f64) -> u32 {
    match differences {
        [] => u32::from(sum.abs() >= observed - 1e-9),
        [d, rest @ ..] => count(rest, sum + d, observed) + count(rest, sum - d, observed),
    }
}

#[test]
fn signs_are_counted() {
    let mut noise = Noise(3);
    for seeds in 1..=12 {
        let differences: Vec<f64> = (0..seeds).map(|_| noise.signed() + 0.3).collect();
        let observed = differences.iter().sum::<f64>().abs();
        let want = f64::from(count(&differences, 0.0, observed)) / 2_f64.powi(seeds);
        assert_eq!(sign_flip_p(&differences), want, "{differences:?}");
    }
    assert_eq!(sign_flip_p(&[1.0; 10]), 2.0 / 1024.0, "all one way: two of all choices");
    assert_eq!(sign_flip_p(&[0.0; 10]), 1.0);
    assert_eq!(sign_flip_p(&[]), 1.0);
    // Equal sums count, whatever rounding says: 0.1 + 0.2 - 0.3.
    assert_eq!(sign_flip_p(&[0.1, 0.2, -0.3]), 1.0);
}

#[test]
fn many_signs_are_drawn_and_agree_with_counting() {
    let mut noise = Noise(8);
    let differences: Vec<f64> = (0..18).map(|_| noise.signed() + 0.25).collect();
    let observed = differences.iter().sum::<f64>().abs();
    let want = f64::from(count(&differences, 0.0, observed)) / 2_f64.powi(18);
    let got = sign_flip_p(&differences);
    // Five standard errors of a share of 100,000.
    let allowed = 5.0 * (want * (1.0 - want) / 1e5).sqrt();
    assert!((got - want).abs() < allowed, "{got} where {want} is due");
    assert!(sign_flip_p(&[1.0; 40]) > 0.0, "never 0");
}

#[test]
fn holm_corrects_as_defined() {
    let mut noise = Noise(5);
    for hypotheses in 0..7 {
        let p: Vec<f64> = (0..hypotheses).map(|_| 0.3 * noise.next()).collect();
        for (i, corrected) in holm(&p).into_iter().enumerate() {
            // The largest of (hypotheses with at least that p) times that p, over all up to it.
            let mut want = 0.0_f64;
            for &other in p.iter().filter(|&&other| other <= p[i]) {
                let left = p.iter().filter(|&&p| p >= other).count();
                want = want.max((left as f64 * other).min(1.0));
            }
            assert_eq!(corrected, want, "{p:?}");
        }
    }
    assert_eq!(holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
}

#[test]
fn a_winner_is_shown_an_equal_one_is_not_and_a_worse_one_is_refuted() {
    let all = [
        series("random", &rising(10, 1.0, 0.02, 1)),
        series("entropy", &rising(10, 2.0, 0.02, 2)),
        series("core_set", &rising(10, 1.0, 0.02, 3)),
        series("k_means", &rising(10, 0.6, 0.02, 4)),
        series("full", &vec![vec![0.9]; 10]),
    ];
    let summaries = summarize(&all).unwrap();
    assert_eq!(verdict(&summaries, "entropy"), Verdict::Shown);
    assert_eq!(verdict(&summaries, "core_set"), Verdict::NotShown);
    assert_eq!(verdict(&summaries, "k_means"), Verdict::Refuted);
    for without in ["random", "full"] {
        assert!(of(&summaries, without).claim.is_none(), "{without} is what others stand against");
    }
    let claim = of(&summaries, "entropy").claim.clone().unwrap();
    assert_eq!((claim.seeds, claim.area.p), (10, 2.0 / 1024.0));
    assert_eq!(claim.area.corrected, 3.0 * claim.area.p, "of three strategies");
    let saving = of(&summaries, "entropy").saving.unwrap();
    assert!((saving.factor.unwrap() - 2.0).abs() < 0.3, "{saving:?}");
    assert!(!claim.sentence.contains("--seeds"), "{}", claim.sentence);

    // The same with three seeds decides nothing.
    let few: Vec<Series> = all
        .iter()
        .map(|s| Series { strategy: s.strategy.clone(), runs: s.runs[..3].to_vec() })
        .collect();
    let few = summarize(&few).unwrap();
    for strategy in ["entropy", "core_set", "k_means"] {
        assert_eq!(verdict(&few, strategy), Verdict::NotShown, "{strategy}");
        let sentence = &of(&few, strategy).claim.as_ref().unwrap().sentence;
        assert!(sentence.contains("--seeds 10"), "{sentence}");
    }
}

#[test]
fn equal_strategies_are_hardly_ever_shown_or_refuted() {
    let mut decided = 0;
    for trial in 0..60 {
        let all = [
            series("random", &rising(10, 1.0, 0.1, 1000 + trial)),
            series("entropy", &rising(10, 1.0, 0.1, 2000 + trial)),
        ];
        let summaries = summarize(&all).unwrap();
        decided += usize::from(verdict(&summaries, "entropy") != Verdict::NotShown);
    }
    assert!(decided <= 4, "{decided} of 60 at a level of 5 %");
}

#[test]
fn pairs_are_of_the_same_seed() {
    // Seeds differ more than strategies: only pairs see that each seed gains.
    let level = |seed: usize| 0.05 * seed as f64;
    let curve = |seed: usize, gain: f64| -> Vec<f64> {
        (1..=10).map(|i| level(seed) + 0.02 * f64::from(i) * gain).collect()
    };
    let random: Vec<_> = (0..10).map(|seed| curve(seed, 1.0)).collect();
    let better: Vec<_> = (0..10).map(|seed| curve(seed, 1.5)).collect();
    let mut all = [series("random", &random), series("entropy", &better)];
    assert_eq!(verdict(&summarize(&all).unwrap(), "entropy"), Verdict::Shown);
    // Whatever the order in which the runs are listed, and without those that one of both lacks.
    all[1].runs.reverse();
    all[1].runs.push((99, all[1].runs[0].1.clone()));
    let summaries = summarize(&all).unwrap();
    assert_eq!(verdict(&summaries, "entropy"), Verdict::Shown);
    let claim = of(&summaries, "entropy").claim.as_ref().unwrap();
    let gains: f64 = (1..=10).map(|i| 0.01 * f64::from(i)).sum();
    let ends = 0.5 * (0.01 + 0.1);
    assert_eq!(claim.seeds, 10);
    assert!((claim.area.difference - (gains - ends) / 9.0).abs() < 1e-12, "{claim:?}");
    assert!((claim.last.difference - 0.1).abs() < 1e-12, "{claim:?}");
}

/// Labels at which a mean curve first has a height, by steps of a thousandth of a label.
fn labels_for(curve: &[f64], height: f64) -> Option<f64> {
    let last = 20.0 * curve.len() as f64;
    let mut at = 20.0;
    while at <= last {
        let i = ((at / 20.0) as usize - 1).min(curve.len() - 2);
        let share = at / 20.0 - 1.0 - i as f64;
        if curve[i] * (1.0 - share) + curve[i + 1] * share >= height - 1e-9 {
            return Some(at);
        }
        at += 0.01;
    }
    None
}

#[test]
fn the_interval_is_that_of_resampled_pairs() {
    let (random, better) = (rising(10, 1.0, 0.05, 21), rising(10, 1.4, 0.05, 22));
    let all = [series("random", &random), series("entropy", &better)];
    let saving = of(&summarize(&all).unwrap(), "entropy").saving.unwrap();
    let mut noise = Noise(99);
    let mut factors = Vec::new();
    for _ in 0..1000 {
        let (mut ours, mut theirs) = (vec![0.0; 10], vec![0.0; 10]);
        for _ in 0..10 {
            let seed = (noise.next() * 10.0) as usize;
            for i in 0..10 {
                ours[i] += better[seed][i] / 10.0;
                theirs[i] += random[seed][i] / 10.0;
            }
        }
        let height = theirs[9];
        let needed = labels_for(&ours, height);
        factors.push(needed.map_or(0.0, |l| labels_for(&theirs, height).unwrap() / l));
    }
    factors.sort_by(f64::total_cmp);
    for (got, want) in saving.interval.into_iter().zip([factors[25], factors[974]]) {
        assert!((got - want).abs() < 0.05, "{saving:?} where {want} is due");
    }
}

#[test]
fn the_system_is_measured_against_the_baselines_end() {
    // The baseline's random has 0.0015 a label, so 0.3 with 200.
    let baseline = |seeds: usize| {
        let runs = series("random", &rising(seeds, 0.5, 0.01, 31)).runs;
        Baseline::of("papers".into(), &runs)
    };
    let all = |seeds: usize| {
        [
            series("random", &rising(seeds, 1.0, 0.01, 32)),
            series("entropy", &rising(seeds, 2.0, 0.01, 33)),
            series("fg_random", &rising(seeds, 9.0, 0.01, 34)),
            series("full", &vec![vec![0.9]; seeds]),
        ]
    };
    let found = system(&all(10), &baseline(10)).unwrap();
    assert_eq!((&*found.strategy, found.seeds, found.baseline_labels), ("entropy", 10, 200.0));
    assert!((found.baseline_jaccard - 0.3).abs() < 0.01, "{found:?}");
    // 0.006 a label: 50 labels.
    assert!((found.factor.unwrap() - 4.0).abs() < 0.2, "{found:?}");
    assert!(found.interval[0] > 3.5 && found.interval[1] < 4.5, "{found:?}");
    assert_eq!(found.verdict, Verdict::Shown);
    assert!(found.sentence.contains(" is shown: entropy"), "{}", found.sentence);
    // Seeds that one of both lacks do not count, and too few decide nothing.
    let few = system(&all(10), &baseline(4)).unwrap();
    assert_eq!((few.seeds, few.verdict), (4, Verdict::NotShown));
    assert!(few.sentence.contains("--seeds 10"), "{}", few.sentence);
    // What never gets there saves nothing.
    let slow = [series("entropy", &rising(10, 0.2, 0.01, 35))];
    let never = system(&slow, &baseline(10)).unwrap();
    assert_eq!((never.factor, never.verdict), (None, Verdict::Refuted));
    assert!(system(&all(10)[3..], &baseline(10)).is_none());
}

#[test]
fn the_interval_ends_at_the_quantiles_of_the_binomial_distribution() {
    // Half of 16 seeds gain three times as fast as random, the others as fast: with n fast ones among
    // those drawn the mean curve is 1 + n / 8 times as steep.
    let line = |slope: f64| -> Vec<f64> {
        (1..=10).map(|i| 0.001 * slope * 20.0 * f64::from(i)).collect()
    };
    let ours: Vec<_> = (0..16).map(|seed| line(if seed % 2 == 0 { 3.0 } else { 1.0 })).collect();
    let all = [series("random", &vec![line(1.0); 16]), series("entropy", &ours)];
    let saving = of(&summarize(&all).unwrap(), "entropy").saving.unwrap();
    // The fewest fast ones that, or fewer, are drawn with such a chance.
    let quantile = |share: f64| {
        let (mut fast, mut chance, mut choices) = (0_u32, 0.0, 1.0);
        loop {
            chance += choices / 65536.0;
            if chance >= share {
                return fast;
            }
            choices *= f64::from(16 - fast) / f64::from(fast + 1);
            fast += 1;
        }
    };
    let ends = [0.025, 0.975].map(quantile);
    assert_eq!((ends, [0.05, 0.95].map(quantile)), ([4, 12], [5, 11]), "others are told apart");
    for (got, fast) in saving.interval.into_iter().zip(ends) {
        let want = 1.0 + f64::from(fast) / 8.0;
        assert!((got - want).abs() < 1e-9, "{saving:?} where {want} is due");
    }
    assert!((saving.factor.unwrap() - 2.0).abs() < 1e-9, "{saving:?}");
}
