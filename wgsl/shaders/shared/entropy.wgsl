// A class's part of a pixel's entropy, with the sign turned: p ln p, and 0 at p = 0 without a logarithm of zero.
const TINY: f32 = 1e-30;

fn entropy_term(p: f32) -> f32 {
    return p * log(max(p, TINY));
}
