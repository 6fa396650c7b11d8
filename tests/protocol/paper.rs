//! The preset `paper` is exactly the paper's experiment (arXiv 1911.05548).

use askem::learning::predict::Embedding;
use askem::learning::protocol::{Bald, Config, InitialStrategy};
use askem::learning::train::{Augment, Schedule};
use askem::network::unet::{DropoutKind, Norm, UNet};

#[test]
fn the_preset_holds_the_papers_numbers() {
    let paper = Config::paper();
    // Named one by one, so that a new setting has to be decided here too.
    let Config {
        strategy: _,
        seed: _,
        initial,
        initial_strategy,
        pool,
        tiles,
        query,
        iterations,
        epochs,
        finetune_epochs,
        max_steps,
        early_stopping,
        holdout: _,
        full_epochs,
        lr,
        finetune_lr,
        schedule,
        foreground_share,
        statistics_patches,
        statistics_from: _,
        patch,
        batch_size,
        label_share,
        mc_passes,
        bald,
        min_distance,
        min_distance_z,
        embedding: _,
        class_weights,
        augment,
        net,
    } = &paper;
    // Stated in the paper.
    assert_eq!((*initial, *pool, *query, *iterations), (20, 2000, 20, 25));
    assert_eq!((*epochs, *finetune_epochs), (500, 200));
    assert_eq!((*lr, *finetune_lr), (1e-3, 5e-4));
    assert_eq!(*patch, 128);
    assert_eq!(*bald, Bald::Entropy, "eq. 3");
    let maps: Vec<usize> = (0..=4).map(|level| net.channels(level)).collect();
    assert_eq!(maps, [16, 32, 64, 128, 256]);
    assert_eq!(net.classes, 2);
    assert_eq!(initial + iterations * query, 520);
    // Left open there, settled by the project.
    assert_eq!((*batch_size, *mc_passes), (4, 10));
    assert_eq!((net.dropout, net.dropout_kind), (0.25, DropoutKind::Channel));
    assert_eq!(*augment, Augment { flips: true, turns: true, ..Augment::default() });
    assert_eq!(class_weights[..], [1.0, 1.0]);
    assert_eq!(*full_epochs, None);
    assert_eq!((*max_steps, *early_stopping), (None, None), "all epochs are trained");
    assert_eq!(*initial_strategy, InitialStrategy::Random);
    assert_eq!((*schedule, *foreground_share, *statistics_patches), (Schedule::Constant, 0.0, 0));
    assert_eq!(net.context, 0, "a section is segmented by itself");
    assert_eq!(*label_share, 1.0, "patches are labelled whole");
    assert!(!tiles, "patches lie anywhere");
    assert_eq!((*min_distance, *min_distance_z), (0, 0), "the paper has no such rule");
    paper.validate().unwrap();
}

#[test]
fn the_network_is_the_papers() {
    let net = UNet::paper();
    let expected = |norm| {
        let conv = |input: usize, output: usize| {
            // Batch norm has a scale and a shift; bias is then folded into it or present.
            (output * input * 9, if norm == Norm::Batch { 2 * output } else { 0 })
        };
        let maps = [16, 32, 64, 128, 256];
        let mut units = Vec::new();
        for (level, &m) in maps.iter().enumerate() {
            let input = if level == 0 { 1 } else { maps[level - 1] };
            units.extend([conv(input, m), conv(m, m)]);
        }
        let mut total = 0;
        for level in (0..4).rev() {
            let m = maps[level];
            total += maps[level + 1] * m * 4 + m;
            units.extend([conv(2 * m, m), conv(m, m)]);
        }
        total + units.iter().map(|(w, n)| w + n).sum::<usize>() + 16 * 2 + 2
    };
    for norm in [Norm::Batch, Norm::Instance] {
        let net = UNet { norm, ..net };
        let bank = net.parameters();
        let biases: usize = bank
            .entries
            .iter()
            .filter(|entry| entry.name.ends_with("conv.bias"))
            .map(|entry| entry.len())
            .sum();
        assert_eq!(net.parameter_count() - biases, expected(norm), "{norm:?}");
    }
}

#[test]
fn embeddings_are_the_bottleneck() {
    // 256 x 8 x 8 for a patch of 128, or its mean over space.
    let paper = Config::paper();
    assert_eq!(paper.embedding, Embedding::Mean);
    assert_eq!(paper.net.channels(4), 256);
    assert_eq!(paper.patch >> 4, 8);
}
