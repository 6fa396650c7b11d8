// Index of the upper left of the four outputs of a pixel of the input.
fn output_index(sample: u32, channel: u32, pixel: u32) -> u32 {
    let row = pixel / params.w;
    let col = pixel - row * params.w;
    return ((sample * params.c_out + channel) * 2u * params.h + 2u * row) * 2u * params.w + 2u * col;
}
