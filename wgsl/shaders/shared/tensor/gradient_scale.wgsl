// Gradients of a mean loss are about one over the number of pixels, too small for f16: they are multiplied by a power of
// two of about that number before they become f16, and sums are divided by it. Both are exact.
fn gradient_scale() -> f32 {
    return f32(1u << (31u - countLeadingZeros(params.n * params.h * params.w)));
}

// A number as a factor of a product; beyond f16's largest it stays the largest, and what is no number stays none.
fn factor(value: f32) -> f16 {
    // By its bits: compilers may take `value == value` for true.
    let is_nan = (bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u;
    return f16(select(clamp(value, -65504.0, 65504.0), value, is_nan));
}
