//! How many cores a card has, which decides how its work is cut before anything was measured.

use std::thread::available_parallelism;

use crate::compute::device::{Cores, CoresFrom};

/// Cores of common cards by words of their names, as the vendors' published specifications count them: NVIDIA's streaming
/// multiprocessors, AMD's compute units, Intel's Xe cores, Apple's GPU cores. Where a name stands for cards of several sizes, the largest
/// on sale; of MI200 cards one of the two dies, each of which is a device.
const KNOWN: &[(&str, u32)] = &[
    // NVIDIA, data centre.
    ("b200", 148),
    ("h200", 132),
    ("gh200", 132),
    ("h100", 132),
    ("h100 pcie", 114),
    ("a100", 108),
    ("a40", 84),
    ("a30", 56),
    ("a10", 72),
    ("l40s", 142),
    ("l40", 142),
    ("l4", 58),
    ("v100", 80),
    ("p100", 56),
    ("t4", 40),
    // NVIDIA, workstation.
    ("rtx 6000 ada", 142),
    ("rtx a6000", 84),
    ("rtx a5000", 64),
    ("rtx a4000", 48),
    ("quadro rtx 8000", 72),
    ("quadro rtx 6000", 72),
    ("titan rtx", 72),
    // NVIDIA, desktop.
    ("rtx 5090", 170),
    ("rtx 5080", 84),
    ("rtx 5070 ti", 70),
    ("rtx 5070", 48),
    ("rtx 5060 ti", 36),
    ("rtx 5060", 30),
    ("rtx 4090", 128),
    ("rtx 4090 d", 114),
    ("rtx 4080 super", 80),
    ("rtx 4080", 76),
    ("rtx 4070 ti super", 66),
    ("rtx 4070 ti", 60),
    ("rtx 4070 super", 56),
    ("rtx 4070", 46),
    ("rtx 4060 ti", 34),
    ("rtx 4060", 24),
    ("rtx 3090 ti", 84),
    ("rtx 3090", 82),
    ("rtx 3080 ti", 80),
    ("rtx 3080", 68),
    ("rtx 3070 ti", 48),
    ("rtx 3070", 46),
    ("rtx 3060 ti", 38),
    ("rtx 3060", 28),
    ("rtx 3050", 20),
    ("rtx 2080 ti", 68),
    ("rtx 2080 super", 48),
    ("rtx 2080", 46),
    ("rtx 2070 super", 40),
    ("rtx 2070", 36),
    ("rtx 2060 super", 34),
    ("rtx 2060", 30),
    // AMD, data centre.
    ("instinct mi300x", 304),
    ("instinct mi250x", 110),
    ("instinct mi250", 104),
    ("instinct mi210", 104),
    ("instinct mi100", 120),
    // AMD, desktop.
    ("rx 9070 xt", 64),
    ("rx 9070", 56),
    ("rx 7900 xtx", 96),
    ("rx 7900 xt", 84),
    ("rx 7900 gre", 80),
    ("rx 7800 xt", 60),
    ("rx 7700 xt", 54),
    ("rx 7600 xt", 32),
    ("rx 7600", 32),
    ("rx 6950 xt", 80),
    ("rx 6900 xt", 80),
    ("rx 6800 xt", 72),
    ("rx 6800", 60),
    ("rx 6750 xt", 40),
    ("rx 6700 xt", 40),
    ("rx 6700", 36),
    ("rx 6650 xt", 32),
    ("rx 6600 xt", 32),
    ("rx 6600", 28),
    ("rx 6500 xt", 16),
    ("rx 6400", 12),
    // Intel.
    ("arc b580", 20),
    ("arc b570", 18),
    ("arc a770", 32),
    ("arc a750", 28),
    ("arc a580", 24),
    ("arc a380", 8),
    ("arc a310", 6),
    // Apple.
    ("apple m1", 8),
    ("apple m1 pro", 16),
    ("apple m1 max", 32),
    ("apple m1 ultra", 64),
    ("apple m2", 10),
    ("apple m2 pro", 19),
    ("apple m2 max", 38),
    ("apple m2 ultra", 76),
    ("apple m3", 10),
    ("apple m3 pro", 18),
    ("apple m3 max", 40),
    ("apple m3 ultra", 80),
    ("apple m4", 10),
    ("apple m4 pro", 20),
    ("apple m4 max", 40),
];

/// Words in the names of parts of a card and of smaller cards under the name of a larger one.
const SMALLER: &[&str] = &["laptop", "mobile", "max-q", " mig ", "vgpu"];

impl Cores {
    /// Those of a large card, where nothing is known.
    pub const DEFAULT: Self = Self { count: 128, from: CoresFrom::Guess };
    /// Those of a GPU beside a processor's cores.
    const INTEGRATED: Self = Self { count: 16, from: CoresFrom::Guess };

    /// The cores of an adapter by its name and its [kind](super::Adapter::kind).
    pub(super) fn of(name: &str, kind: &str) -> Self {
        if kind == "cpu" {
            let count = available_parallelism().map_or(1, usize::from) as u32;
            return Self { count, from: CoresFrom::Processor };
        }
        match (known(name), kind) {
            (Some(count), _) => Self { count, from: CoresFrom::Card },
            (None, "integrated") => Self::INTEGRATED,
            (None, _) => Self::DEFAULT,
        }
    }
}

/// Words in lower case, between single spaces and with one at each end. `(R)` and `(TM)` are none.
fn words(name: &str) -> String {
    let name = name.to_lowercase().replace("(r)", " ").replace("(tm)", " ");
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.fold(" ".into(), |all, word| all + word + " ")
}

/// The cores of a card in the table: by the entry with most letters whose words follow one another in the name.
fn known(name: &str) -> Option<u32> {
    let words = words(name);
    let lower = name.to_lowercase();
    if SMALLER.iter().any(|part| lower.contains(part) || words.contains(part)) {
        return None;
    }
    let fits = |(card, _): &&(&str, u32)| words.contains(&format!(" {card} "));
    KNOWN.iter().filter(fits).max_by_key(|(card, _)| card.len()).map(|&(_, cores)| cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_drivers_are_recognised() {
        for (name, cores) in [
            ("NVIDIA H100 80GB HBM3", 132),
            ("NVIDIA H100 PCIe", 114),
            ("NVIDIA H200", 132),
            ("NVIDIA A100-SXM4-80GB", 108),
            ("Tesla V100-SXM2-16GB", 80),
            ("Tesla T4", 40),
            ("NVIDIA L4", 58),
            ("NVIDIA L40S", 142),
            ("NVIDIA GeForce RTX 4070", 46),
            ("NVIDIA GeForce RTX 4070 Ti SUPER", 66),
            ("NVIDIA GeForce RTX 4090 D", 114),
            ("NVIDIA RTX 6000 Ada Generation", 142),
            ("AMD Radeon RX 6800 XT (RADV NAVI21)", 72),
            ("AMD Radeon RX 7900 XTX", 96),
            ("Intel(R) Arc(TM) A770 Graphics (DG2)", 32),
            ("Apple M1", 8),
            ("Apple M3 Max", 40),
        ] {
            let want = Cores { count: cores, from: CoresFrom::Card };
            assert_eq!(Cores::of(name, "discrete"), want, "{name}");
        }
    }

    #[test]
    fn what_is_not_known_is_guessed_by_its_kind() {
        for name in [
            "NVIDIA GeForce RTX 3080 Laptop GPU",
            "NVIDIA GeForce RTX 2070 with Max-Q Design",
            "NVIDIA A100-SXM4-40GB MIG 3g.20gb",
            "AMD Radeon RX 6800M",
            "AMD Radeon RX 7600M XT",
            "AMD Unknown (RADV NAVI21)",
            "NVIDIA GeForce GTX 1080",
            "",
        ] {
            assert_eq!(Cores::of(name, "discrete"), Cores::DEFAULT, "{name}");
        }
        assert_eq!(Cores::of("AMD Radeon Graphics (RADV RAPHAEL)", "integrated").count, 16);
        // A software driver has the processor's, whatever its name.
        for name in ["llvmpipe (LLVM 15.0.6, 256 bits)", "NVIDIA L4"] {
            let cores = Cores::of(name, "cpu");
            assert_eq!(cores.from, CoresFrom::Processor);
            assert_eq!(cores.count as usize, available_parallelism().unwrap().get());
        }
        assert_eq!(Cores::of("NVIDIA L4", "virtual").to_string(), "58 cores (known card)");
    }

    #[test]
    fn cards_stand_once_in_words_that_names_have() {
        for (i, (card, cores)) in KNOWN.iter().enumerate() {
            assert_eq!(words(card).trim(), *card);
            assert_eq!(known(card), Some(*cores), "{card}");
            assert!(KNOWN[i + 1..].iter().all(|(other, _)| other != card), "{card} twice");
        }
    }
}
