// The matrix of a patch's transform, row by row.
fn matrix_of(sample: u32) -> vec4<i32> {
    let at = 6u * sample;
    return bitcast<vec4<i32>>(
        vec4(transforms[at], transforms[at + 1u], transforms[at + 2u], transforms[at + 3u]),
    );
}
