// A pixel's logits, of features `x`, `weight` and `bias`: each feature is read once.
fn logits_of(sample: u32, i: u32) -> array<f32, MAX_CLASSES> {
    var logits = array<f32, MAX_CLASSES>();
    for (var k = 0u; k < params.classes; k += 1u) {
        logits[k] = bias[k];
    }
    for (var c = 0u; c < params.c; c += 1u) {
        let value = f32(x[(sample * params.c + c) * params.hw + i]);
        for (var k = 0u; k < params.classes; k += 1u) {
            logits[k] += weight[k * params.c + c] * value;
        }
    }
    return logits;
}
