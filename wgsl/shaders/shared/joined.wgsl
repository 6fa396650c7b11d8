// The plane of an input channel, where the first c_a channels of all samples lie before the others.
fn joined_plane(sample: u32, channel: u32) -> u32 {
    if channel < params.c_a {
        return sample * params.c_a + channel;
    }
    return params.n * params.c_a + sample * (params.c_in - params.c_a) + channel - params.c_a;
}
