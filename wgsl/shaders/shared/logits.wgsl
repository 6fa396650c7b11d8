// A pixel's logits, of features `x`, `weight` and `bias`: each feature is read once, four at a time, for the memory to have
// something to do. Loops over classes have a fixed length, so that the logits stay in registers.
fn logits_of(sample: u32, i: u32) -> array<f32, MAX_CLASSES> {
    var logits = array<f32, MAX_CLASSES>();
    for (var k = 0u; k < MAX_CLASSES; k += 1u) {
        if k < params.classes {
            logits[k] = bias[k];
        }
    }
    for (var c = 0u; c < params.c; c += 4u) {
        var values = array<f32, 4>();
        for (var j = 0u; j < 4u; j += 1u) {
            // Past the last feature it is read again, and counts nothing.
            let value = f32(x[(sample * params.c + min(c + j, params.c - 1u)) * params.hw + i]);
            values[j] = select(0.0, value, c + j < params.c);
        }
        for (var k = 0u; k < MAX_CLASSES; k += 1u) {
            if k < params.classes {
                for (var j = 0u; j < 4u; j += 1u) {
                    logits[k] += weight[k * params.c + min(c + j, params.c - 1u)] * values[j];
                }
            }
        }
    }
    return logits;
}
