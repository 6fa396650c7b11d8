// The mask streams of kernels/src/rng.rs, bit for bit. WGSL has no 64-bit integers: a u64 is (low, high) halves.

fn add64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2(low, a.y + b.y + select(0u, 1u, low < a.x));
}

// All 64 bits of a product of two u32, by halves of 16 bits.
fn mul_wide(a: u32, b: u32) -> vec2<u32> {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let mid_a = (a >> 16u) * (b & 0xffffu);
    let mid_b = (a & 0xffffu) * (b >> 16u);
    // At most three 16-bit numbers: no carry is lost.
    let mid = (low >> 16u) + (mid_a & 0xffffu) + (mid_b & 0xffffu);
    let high = (a >> 16u) * (b >> 16u) + (mid_a >> 16u) + (mid_b >> 16u) + (mid >> 16u);
    return vec2((mid << 16u) | (low & 0xffffu), high);
}

// The low 64 bits of a product.
fn mul64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let wide = mul_wide(a.x, b.x);
    return vec2(wide.x, wide.y + a.x * b.y + a.y * b.x);
}

// z ^ (z >> bits), 0 < bits < 32.
fn xor_shifted(z: vec2<u32>, bits: u32) -> vec2<u32> {
    return z ^ vec2((z.x >> bits) | (z.y << (32u - bits)), z.y >> bits);
}

// SplitMix64's increment.
const GOLDEN = vec2<u32>(0x7f4a7c15u, 0x9e3779b9u);

// SplitMix64's finalizer.
fn mix64(start: vec2<u32>) -> vec2<u32> {
    var z = mul64(xor_shifted(start, 30u), vec2(0x1ce4e5b9u, 0xbf58476du));
    z = mul64(xor_shifted(z, 27u), vec2(0x133111ebu, 0x94d049bbu));
    return xor_shifted(z, 31u);
}

// State of xoshiro128++ for one block of a sample's mask in a layer.
fn mask_stream(key: vec2<u32>, layer: u32, block: u32) -> vec4<u32> {
    let seed = mix64(key ^ mix64(add64(vec2(block, layer), GOLDEN)));
    // The generator's seeding from a u64: two steps of SplitMix64.
    let first = add64(seed, GOLDEN);
    return vec4(mix64(first), mix64(add64(first, GOLDEN)));
}

fn rotate_left(x: u32, bits: u32) -> u32 {
    return (x << bits) | (x >> (32u - bits));
}

// The stream's next number. xoshiro128++ of Blackman and Vigna.
fn next_u32(state: ptr<function, vec4<u32>>) -> u32 {
    let s = *state;
    let b = s.y ^ s.z ^ s.x;
    let a = s.x ^ s.w ^ s.y;
    *state = vec4(a, b, s.z ^ s.x ^ (s.y << 9u), rotate_left(s.w ^ s.y, 11u));
    return rotate_left(s.x + s.w, 7u) + s.x;
}
