// Where a patch is cut: section, row, column and symmetry.
fn site_of(index: u32) -> vec4<u32> {
    let at = 4u * index;
    return vec4(sites[at], sites[at + 1u], sites[at + 2u], sites[at + 3u]);
}
