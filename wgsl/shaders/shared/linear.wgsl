// A launch is a line of workgroups. Where the line is longer than a dimension may be, launch.rs folds it into
// x and y, so that the last row may reach past the work: every pass guards its own end.
fn linear_group(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}
