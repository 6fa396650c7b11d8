//! Pixels by their true and their predicted class, and the Jaccard indices made of them.

use askem_kernels::confusion::Counts;

use crate::data::volume::IGNORED;

/// How many pixels of each class were taken for each class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassCounts {
    classes: usize,
    /// `[true class][predicted class]`.
    pixels: Vec<u64>,
}

impl ClassCounts {
    /// No pixels of so many classes, of which 0 is background.
    ///
    /// # Panics
    /// If there are fewer than two classes.
    pub fn new(classes: usize) -> Self {
        assert!(classes >= 2, "{classes} classes");
        Self { classes, pixels: vec![0; classes * classes] }
    }

    /// Counts pixels by what they are and what they were taken for; those labelled [`IGNORED`] are
    /// left out.
    ///
    /// # Panics
    /// If the lengths differ, or a class is none of these.
    pub fn add(&mut self, predicted: &[u8], labels: &[u8]) {
        assert_eq!(predicted.len(), labels.len(), "a label for each pixel");
        for (&predicted, &label) in predicted.iter().zip(labels) {
            if label != IGNORED {
                assert!(usize::from(label.max(predicted)) < self.classes, "{label}, {predicted}");
                self.pixels[usize::from(label) * self.classes + usize::from(predicted)] += 1;
            }
        }
    }

    /// One class against all others.
    pub fn of(&self, class: usize) -> Counts {
        let at = |truth: usize, predicted: usize| self.pixels[truth * self.classes + predicted];
        let sum = |is: &dyn Fn(usize, usize) -> bool| -> u64 {
            let all = (0..self.classes).flat_map(|t| (0..self.classes).map(move |p| (t, p)));
            all.filter(|&(t, p)| is(t, p)).map(|(t, p)| at(t, p)).sum()
        };
        Counts {
            true_positive: at(class, class),
            false_positive: sum(&|truth, predicted| truth != class && predicted == class),
            false_negative: sum(&|truth, predicted| truth == class && predicted != class),
            true_negative: sum(&|truth, predicted| truth != class && predicted != class),
        }
    }

    /// The Jaccard index of each class but background; nothing where it is neither there nor
    /// predicted.
    pub fn jaccard_of_classes(&self) -> Vec<Option<f64>> {
        let of = |class| {
            let counts = self.of(class);
            let is_there = counts.true_positive + counts.false_positive + counts.false_negative > 0;
            is_there.then(|| counts.jaccard())
        };
        (1..self.classes).map(of).collect()
    }

    /// The mean of the Jaccard indices of the classes but background that are there or predicted: with
    /// two classes that of the foreground. 1 where nothing is there and nothing is predicted.
    pub fn jaccard(&self) -> f64 {
        self.mean(Counts::jaccard)
    }

    /// The mean of a score over the same classes as in [`jaccard`](Self::jaccard).
    pub fn mean(&self, score: impl Fn(&Counts) -> f64) -> f64 {
        let known = self.jaccard_of_classes();
        let there: Vec<usize> = (1..self.classes).filter(|&c| known[c - 1].is_some()).collect();
        if there.is_empty() {
            return 1.0;
        }
        there.iter().map(|&class| score(&self.of(class))).sum::<f64>() / there.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_is_judged_against_all_others() {
        let mut counts = ClassCounts::new(4);
        counts.add(&[0, 1, 1, 2, 2, 0, 1], &[0, 1, 2, 2, 1, 1, 255]);
        counts.add(&[2], &[2]);
        let of = |class| {
            let c = counts.of(class);
            [c.true_positive, c.false_positive, c.false_negative, c.true_negative]
        };
        assert_eq!(of(0), [1, 1, 0, 5]);
        assert_eq!(of(1), [1, 1, 2, 3]);
        assert_eq!(of(2), [2, 1, 1, 3]);
        assert_eq!(of(3), [0, 0, 0, 7]);
        assert_eq!(counts.jaccard_of_classes(), [Some(0.25), Some(0.5), None]);
        assert_eq!(counts.jaccard(), 0.375, "of the classes that are there");
    }

    #[test]
    fn two_classes_are_foreground_and_background() {
        let mut counts = ClassCounts::new(2);
        assert_eq!(counts.jaccard(), 1.0, "nothing is there, and nothing is predicted");
        counts.add(&[0, 1, 1, 0, 1], &[0, 1, 0, 1, 255]);
        assert_eq!(counts.jaccard(), counts.of(1).jaccard());
        assert_eq!(counts.jaccard(), 1.0 / 3.0);
    }
}
