use core::mem::{offset_of, size_of};
use std::collections::BTreeSet;

use askem_kernels::{Element, SIGNATURES};

use crate::{Entry, Form, Member, SHADERS, find};

/// Every pass with its op.
fn passes() -> impl Iterator<Item = (&'static str, &'static Entry)> {
    SHADERS.iter().flat_map(|shader| shader.entries.iter().map(|entry| (shader.op, entry)))
}

#[test]
fn every_signature_has_a_pass_and_every_pass_a_signature() {
    let signatures: BTreeSet<_> = SIGNATURES.iter().map(|s| (s.op, s.pass)).collect();
    let shaders: Vec<_> = passes().map(|(op, entry)| (op, entry.pass)).collect();
    assert_eq!(shaders.len(), signatures.len());
    assert_eq!(shaders.into_iter().collect::<BTreeSet<_>>(), signatures);
}

#[test]
fn bindings_are_the_buffers_of_the_signature_in_order() {
    for signature in SIGNATURES {
        let (_, entry) = find(signature.op, signature.pass).expect(signature.name);
        let reads = signature.reads.iter().map(|&(name, element)| (name, element, false));
        let writes = signature.writes.iter().map(|&(name, element)| (name, element, true));
        let expected: Vec<_> = reads.chain(writes).collect();
        let bindings: Vec<_> =
            entry.bindings.iter().map(|b| (b.name, b.element, b.writable)).collect();
        assert_eq!(bindings, expected, "{}", signature.name);
        assert!(entry.bindings.iter().map(|b| b.binding).eq(1..=expected.len() as u32));
    }
}

/// What a Rust type is called in a uniform.
trait Type {
    const ELEMENT: Element;
    const LEN: Option<u32> = None;
}

impl Type for u32 {
    const ELEMENT: Element = Element::Uint;
}

impl Type for f32 {
    const ELEMENT: Element = Element::Float;
}

impl<T: Type, const LEN: usize> Type for [T; LEN] {
    const ELEMENT: Element = T::ELEMENT;
    const LEN: Option<u32> = Some(LEN as u32);
}

/// The type of the member that `_get` returns.
fn type_of<P, M: Type>(_get: impl Fn(&P) -> M) -> (Element, Option<u32>) {
    (M::ELEMENT, M::LEN)
}

/// Op, size and members of the Rust structs. Naming every member makes a new one stand out: its name is missing
/// in the pattern.
macro_rules! layouts {
    ($($op:ident { $($member:ident),* })*) => {
        [$({
            use askem_kernels::$op::Params;
            fn _all_members(Params { $($member: _),* }: &Params) {}
            let members = vec![$({
                let (element, len) = type_of(|params: &Params| params.$member);
                let offset = offset_of!(Params, $member) as u32;
                Member { name: stringify!($member), offset, element, len }
            }),*];
            (stringify!($op), size_of::<Params>() as u32, members)
        }),*]
    };
}

#[test]
fn uniforms_have_the_bytes_of_the_rust_structs() {
    let layouts = layouts! {
        adam { len, beta1, beta2, eps }
        allclose { len, slices, atol, rtol }
        bald { n, c, hw, passes, stacked }
        batch_norm { n, c, hw, eps, momentum }
        batch_norm_relu { n, c, hw, mask, scale, affine }
        batch_norm_split { n, c, hw, slices, eps, momentum, scale }
        concat_channels { n, c_a, c_b, hw }
        confusion { len, ignore_label, threshold }
        conv2d { n, c_in, c_out, h, w, kernel, has_bias }
        conv2d_joined { n, c_in, c_a, c_out, h, w, kernel }
        conv2d_norm_relu { n, c_in, c_a, c_out, h, w, kernel, mask, eps }
        conv2d_split_channels { n, c_in, c_a, c_out, h, w, kernel, slices }
        conv2d_split_k { n, c_in, c_a, c_out, h, w, kernel, slices }
        conv2d_statistics { n, c_in, c_a, c_out, h, w, kernel, eps, momentum }
        conv_transpose2d { n, c_in, c_out, h, w }
        conv_transpose2d_split_k { n, c_in, c_out, h, w, slices }
        crop { n, h, w, depth, height, width }
        cross_entropy { n, c, hw, ignore_label }
        dropout { n, c, hw, element, layer, threshold, scale }
        dropout_masks { n, layers, threshold, scale, layer, c }
        entropy { n, c, hw }
        global_avg_pool2d { n, c, hw }
        instance_norm { n, c, hw, eps }
        k_center_greedy { rows, dim, capacity }
        k_means { rows, k, dim }
        k_means_plus_plus { rows, k, dim, trials }
        least_confidence { n, c, hw }
        max_pool2d { n, c, h, w }
        min_sq_dist { rows, centers, dim }
        pairwise_sq_dist { rows_a, rows_b, dim }
        patch_sum { n, hw }
        relu { len }
        segmentation_head { n, stacked, c, classes, hw }
        softmax { n, c, hw }
        warp { n, c, h, w }
    };
    assert_eq!(layouts.len(), SHADERS.len());
    for (shader, (op, size, members)) in SHADERS.iter().zip(layouts) {
        assert_eq!(shader.op, op);
        assert_eq!(shader.params_size, size, "{op}");
        assert_eq!(shader.params, members, "{op}");
    }
}

/// What leaves a form out, by hand or in a report, has to mean one.
#[test]
fn names_of_forms_differ_within_a_pass() {
    for entry in SHADERS.iter().flat_map(|shader| shader.entries) {
        let names: BTreeSet<_> = entry.forms.iter().map(Form::name).collect();
        assert_eq!(names.len(), entry.forms.len(), "{}: {names:?}", entry.pass);
    }
    let forms = find("conv2d", "forward").expect("a pass").1.forms;
    let names: Vec<_> = forms.iter().map(Form::name).collect();
    assert_eq!(names[0], "tile32", "{names:?}");
    assert!(names.contains(&"winograd-tile16".into()), "{names:?}");
    assert!(names.contains(&"matrix16-tile32".into()), "{names:?}");
    assert_eq!(find("relu", "forward").expect("a pass").1.forms[0].name(), "plain");
}

/// The numbers that both sides of a twin have to know.
#[test]
fn shared_constants_agree() {
    let constant = |op, pass, name| {
        let mut values = find(op, pass).expect(pass).1.forms.iter().map(|f| f.constant(name));
        let first = values.next().expect("every pass has a form");
        assert!(values.all(|value| value == first), "{op}::{pass}: {name}");
        first as usize
    };
    for (op, pass) in [("dropout", "mask"), ("dropout_masks", "draw")] {
        assert_eq!(constant(op, pass, "MASK_BLOCK"), askem_kernels::rng::MASK_BLOCK);
    }
    let alignment = constant("dropout_masks", "draw", "ALIGNMENT");
    assert_eq!(alignment, askem_kernels::dropout_masks::ALIGNMENT);
    for pass in ["forward", "reduce"] {
        let block = constant("cross_entropy", pass, "PIXEL_BLOCK");
        assert_eq!(block, askem_kernels::cross_entropy::BLOCK);
    }
    let split = |op, name| constant(op, "backward_weight", name) as u32;
    assert_eq!(split("conv2d_split_k", "BAND"), askem_kernels::conv2d_split_k::BAND);
    for pass in ["forward", "merge"] {
        let cell = constant("conv2d_statistics", pass, "CELL") as u32;
        assert_eq!(cell, askem_kernels::conv2d_statistics::CELL);
    }
    let chunk = split("conv_transpose2d_split_k", "CHUNK");
    assert_eq!(chunk, askem_kernels::conv_transpose2d_split_k::CHUNK);
    let head = |name| constant("segmentation_head", "entropy", name) as u32;
    assert_eq!(head("BLOCK"), askem_kernels::segmentation_head::BLOCK);
    assert_eq!(head("MAX_CLASSES"), askem_kernels::segmentation_head::MAX_CLASSES);
    let greedy = |name| constant("k_center_greedy", "add_center", name) as u32;
    assert_eq!(greedy("BLOCKS"), askem_kernels::k_center_greedy::BLOCKS);
    assert_eq!(greedy("TILE_ROWS"), askem_kernels::k_center_greedy::TILE_ROWS);
    let means = |pass, name| constant("k_means", pass, name) as u32;
    for pass in ["assign", "check_convergence"] {
        assert_eq!(means(pass, "TILE"), askem_kernels::k_means::TILE);
    }
    for pass in ["measure", "draw"] {
        let start = |name| constant("k_means_plus_plus", pass, name) as u32;
        assert_eq!(start("BLOCK"), askem_kernels::k_means_plus_plus::BLOCK);
        assert_eq!(start("MAX_TRIALS"), askem_kernels::k_means_plus_plus::MAX_TRIALS);
    }
    for pass in ["update", "check_convergence"] {
        assert_eq!(means(pass, "TILE_DIM"), askem_kernels::k_means::TILE_DIM);
    }
}
