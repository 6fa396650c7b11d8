use super::*;

fn axes(letters: &str) -> Vec<Axis> {
    letters
        .chars()
        .map(|letter| match letter {
            '?' => Axis::Other(String::new()),
            other => Axis::named(&other.to_string()),
        })
        .collect()
}

fn options(letters: &str, channel: Option<usize>, time: Option<usize>) -> AxesOptions {
    let axes = (!letters.is_empty()).then(|| letters.parse().unwrap());
    AxesOptions { axes, channel, time }
}

/// The axes that are z, y and x, and the index along each of the others.
fn found(shape: &[u64], said: &str, options: &AxesOptions) -> ([Option<usize>; 3], Vec<u64>) {
    let said = (!said.is_empty()).then(|| axes(said));
    let found = arrange(shape, said.as_deref(), options, false).unwrap();
    (found.axes, found.fixed)
}

fn refused(shape: &[u64], said: &str, options: &AxesOptions) -> String {
    let said = (!said.is_empty()).then(|| axes(said));
    arrange(shape, said.as_deref(), options, false).unwrap_err()
}

#[test]
fn names_are_followed_wherever_they_are() {
    let none = AxesOptions::default();
    assert_eq!(found(&[56, 40, 24], "xyz", &none).0, [Some(2), Some(1), Some(0)]);
    assert_eq!(found(&[1, 56, 40, 1, 24], "txycz", &none).0, [Some(4), Some(2), Some(1)]);
    assert_eq!(found(&[40, 56], "yx", &none).0, [None, Some(0), Some(1)]);
    assert_eq!(found(&[40, 56, 3], "yxc", &options("", Some(2), None)).1, [0, 0, 2]);
    assert_eq!(found(&[24, 40, 56], "?yx", &none).0, [Some(0), Some(1), Some(2)]);
    assert_eq!(found(&[56, 40, 24], "xyz", &options("ZYX", None, None)).0[0], Some(0));
}

#[test]
fn without_names_the_last_axes_count() {
    let none = AxesOptions::default();
    let z = |shape: &[u64]| found(shape, "", &none).0;
    assert_eq!(z(&[24, 40, 56]), [Some(0), Some(1), Some(2)]);
    assert_eq!(z(&[1, 24, 40, 56, 1]), [Some(1), Some(2), Some(3)]);
    assert_eq!(z(&[24, 1, 40, 56]), [Some(0), Some(2), Some(3)]);
    assert_eq!(z(&[1, 1, 40, 56]), [Some(1), Some(2), Some(3)]);
    assert_eq!(z(&[40, 56, 1]), [None, Some(0), Some(1)]);
    assert_eq!(z(&[40, 56, 1, 1]), [None, Some(0), Some(1)]);
    assert_eq!(z(&[3, 40, 56]), [Some(0), Some(1), Some(2)]);
    for shape in [&[40, 56, 3][..], &[2, 24, 40, 56], &[24, 40, 56, 2], &[96]] {
        assert!(
            refused(shape, "", &none).contains("wanted")
                || refused(shape, "", &none).contains("--axes")
        );
    }
}

#[test]
fn what_stays_open_names_the_option_that_settles_it() {
    let none = AxesOptions::default();
    let channels = refused(&[24, 40, 56, 2], "zyxc", &none);
    assert!(channels.contains("--channel N, from 0 to 1"), "{channels}");
    assert!(refused(&[3, 40, 56], "tyx", &none).contains("--time N"));
    assert!(refused(&[3, 40, 56], "tyx", &none).contains("--axes"));
    assert!(refused(&[3, 40, 56], "yyx", &none).contains("twice"));
    assert!(refused(&[3, 40, 56], "zyc", &none).contains("columns"));
    assert!(refused(&[24, 40, 56, 2], "zyxc", &options("", Some(2), None)).contains("--channel 2"));
    assert!(refused(&[24, 40, 56], "zyx", &options("", Some(1), None)).contains("--channel 1"));
    assert!(refused(&[24, 40, 56], "zyx", &options("ZYXC", None, None)).contains("ZYXC"));
}

#[test]
fn labels_may_lack_what_images_have() {
    let options = options("ZYXC", Some(1), Some(2));
    let found = arrange(&[24, 40, 56], None, &options, true).unwrap();
    assert_eq!(found.axes(), [Some(0), Some(1), Some(2)]);
    let found = arrange(&[24, 40, 56, 2], None, &options, true).unwrap();
    assert_eq!(found.fixed(3), 1);
}

#[test]
fn names_that_mean_nothing_are_told() {
    let said = ["u", "v", "w"].map(Axis::named);
    let found = arrange(&[24, 40, 56], Some(&said), &AxesOptions::default(), false).unwrap();
    assert!(found.note().unwrap().contains("u, v, w"));
    let said = ["dim_0", "", "dim2"].map(Axis::named);
    let found = arrange(&[24, 40, 56], Some(&said), &AxesOptions::default(), false).unwrap();
    assert_eq!(found.note(), None);
}

#[test]
fn a_block_is_turned_into_sections_rows_and_columns() {
    // Stored x, z, y: 4 x 2 x 3, each number says where it is.
    let said = axes("xzy");
    let found = arrange(&[4, 2, 3], Some(&said), &AxesOptions::default(), false).unwrap();
    let block = Region { z: 0..2, y: 1..3, x: 1..4 };
    assert_eq!(found.ranges(&block), [1..4, 0..2, 1..3]);
    let mut stored = Vec::new();
    for x in 1..4_u16 {
        for z in 0..2 {
            stored.extend((1..3).flat_map(|y| (100 * z + 10 * y + x).to_ne_bytes()));
        }
    }
    let turned = found.in_order(stored, &block, 2);
    let numbers: Vec<u16> =
        turned.as_chunks::<2>().0.iter().map(|&bytes| u16::from_ne_bytes(bytes)).collect();
    assert_eq!(numbers, [11, 12, 13, 21, 22, 23, 111, 112, 113, 121, 122, 123]);
    assert_eq!(found.sides(&[4, 2, 3]), [2, 3, 4]);
    assert!(!found.is_in_order() && !found.is_by_section());
}
