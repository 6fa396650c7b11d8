//! The judge of trials sees what is wrong: each of these is a right result with one fault.

use askem::compute::cpu::CpuExecutor;
use askem::compute::device::trial::{self, Style, Trial, Verdict};
use askem_kernels::{Call, conv2d, k_center_greedy, k_means, max_pool2d, relu};

type Outputs = Vec<Option<Vec<u32>>>;

/// A trial with what the processor's fast form makes of it, which is right.
fn right(call: Call, style: Style) -> (Trial, Outputs) {
    let trial = Trial::draw(call, style, 3);
    let mut cpu = CpuExecutor::new(Some(1)).expect("a thread starts");
    let outputs = trial::run(&mut cpu, std::slice::from_ref(&trial)).expect("it runs").remove(0);
    assert!(matches!(trial.judge(&outputs), Verdict::Agrees(_)), "{:?}", trial.judge(&outputs));
    (trial, outputs)
}

/// What the judge says of the outputs after a change.
fn fault(trial: &Trial, outputs: &Outputs, change: impl FnOnce(&mut Outputs)) -> String {
    let mut wrong = outputs.clone();
    change(&mut wrong);
    match trial.judge(&wrong) {
        Verdict::Differs(what) => what,
        verdict => panic!("{:?}: {verdict:?}", trial.call),
    }
}

/// The words of the first output.
fn words(outputs: &mut Outputs) -> &mut Vec<u32> {
    outputs[0].as_mut().expect("the guards are whole")
}

fn convolution() -> Call {
    let p = conv2d::Params { n: 2, c_in: 3, c_out: 5, h: 5, w: 7, kernel: 3, has_bias: 1 };
    Call::Conv2dForward(p)
}

#[test]
fn one_element_that_is_no_number_or_infinite() {
    let exact = Call::ReluForward(relu::Params { len: 301 });
    for call in [convolution(), exact] {
        let (trial, outputs) = right(call, Style::Normal);
        for strange in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::from_bits(trial::NAN_BITS)]
        {
            for at in [0, 17, call.len("y") - 1] {
                let what = fault(&trial, &outputs, |o| words(o)[at] = strange.to_bits());
                assert!(what.contains(&format!("y: element {at}: got ")), "{what}");
            }
        }
    }
}

#[test]
fn one_element_that_is_a_little_off() {
    let (trial, outputs) = right(convolution(), Style::Normal);
    // Sums of 27 products may differ by some units in the last place, not by thousands.
    let what = fault(&trial, &outputs, |o| words(o)[40] ^= 1 << 13);
    assert!(what.contains("y: element 40"), "{what}");

    // What is exact may not differ at all.
    let (trial, outputs) = right(Call::ReluForward(relu::Params { len: 301 }), Style::Normal);
    let at = outputs[0].iter().flatten().position(|&word| word != 0).expect("some are positive");
    let what = fault(&trial, &outputs, |o| words(o)[at] ^= 1);
    assert!(what.contains(&format!("element {at}:")), "{what}");
}

#[test]
fn a_zero_that_is_none() {
    let (trial, outputs) = right(Call::ReluForward(relu::Params { len: 301 }), Style::Normal);
    let at = outputs[0].iter().flatten().position(|&word| word == 0).expect("some are negative");
    let what = fault(&trial, &outputs, |o| words(o)[at] = 1e-30f32.to_bits());
    assert!(what.contains("want 0.0"), "{what}");
}

#[test]
fn lengths_and_guards() {
    let (trial, outputs) = right(convolution(), Style::Normal);
    let what = fault(&trial, &outputs, |o| words(o).truncate(349));
    assert!(what.contains("349 elements where 350 are expected"), "{what}");
    let what = fault(&trial, &outputs, |o| words(o).push(0));
    assert!(what.contains("351 elements where 350 are expected"), "{what}");
    fault(&trial, &outputs, |o| words(o).clear());
    for change in [Vec::clear, |o: &mut Outputs| o[0] = None] {
        let what = fault(&trial, &outputs, change);
        assert!(what.contains("memory beside the buffer"), "{what}");
    }
}

#[test]
fn an_integer_that_is_another() {
    let p = max_pool2d::Params { n: 1, c: 2, h: 6, w: 4 };
    let (trial, outputs) = right(Call::MaxPool2dForward(p), Style::Ties);
    let indices = |o: &mut Outputs| o[1].as_mut().expect("the guards are whole")[3] ^= 1;
    let what = fault(&trial, &outputs, indices);
    assert!(what.contains("indices: element 3"), "{what}");

    // A centre that is farther, one that does not exist, and of equal ones the second.
    let p = k_means::Params { rows: 67, k: 5, dim: 9 };
    let (trial, outputs) = right(Call::KMeansAssign(p), Style::Normal);
    let what = fault(&trial, &outputs, |o| words(o)[8] = (words(o)[8] + 1) % 5);
    assert!(what.contains("assignment: element 8"), "{what}");
    let what = fault(&trial, &outputs, |o| words(o)[8] = 5);
    assert!(what.contains("got 5 of 5 centres"), "{what}");
    let (trial, outputs) = right(Call::KMeansAssign(p), Style::Constant);
    let what = fault(&trial, &outputs, |o| words(o)[8] = 1);
    assert!(what.contains("where 0 is the same point"), "{what}");
    // A count that does not follow from the clusters.
    let what = fault(&trial, &outputs, |o| o[2].as_mut().expect("whole")[2] ^= 1);
    assert!(what.contains("changes: element 2"), "{what}");

    // Of equally far rows the second, and a row with the distance of another.
    let p = k_center_greedy::Params { rows: 67, dim: 9, capacity: 5 };
    let call = Call::KCenterGreedyAddCenter(p);
    let (trial, outputs) = right(call, Style::Constant);
    let what = fault(&trial, &outputs, |o| o[1].as_mut().expect("whole")[3] += 1);
    assert!(what.contains("next_far_row: element 3"), "{what}");
    let what = fault(&trial, &outputs, |o| o[2].as_mut().expect("whole")[3] ^= 1);
    assert!(what.contains("next_far_sq_dist: element 3"), "{what}");
    let what = fault(&trial, &outputs, |o| o[3].as_mut().expect("whole")[1] ^= 1);
    assert!(what.contains("picks: element 1"), "{what}");
}
