//! What objects are, on whole arrays and by the words of their definition: slow, plain, and without
//! anything of the program.

/// A volume of booleans, and how its voxels hang together.
pub(crate) struct Plain<'a> {
    pub(crate) shape: [usize; 3],
    pub(crate) foreground: &'a [bool],
    /// 26 neighbours, or 6.
    pub(crate) corners: bool,
    /// Sides of a voxel; the smallest is 1.
    pub(crate) spacing: [f32; 3],
}

impl Plain<'_> {
    fn at(&self, voxel: usize) -> [usize; 3] {
        let [_, height, width] = self.shape;
        [voxel / (height * width), voxel / width % height, voxel % width]
    }

    /// Neighbours in the volume, in the order of the file.
    fn neighbours(&self, voxel: usize) -> Vec<usize> {
        let (at, away) = (self.at(voxel), |a: usize, b: usize| a.abs_diff(b));
        let mut found = Vec::new();
        for other in 0..self.foreground.len() {
            let sides = [0, 1, 2].map(|i| away(at[i], self.at(other)[i]));
            let near = sides.iter().all(|&side| side <= 1);
            let axes: usize = sides.iter().sum();
            if near && (axes == 1 || self.corners && axes > 1) {
                found.push(other);
            }
        }
        found
    }

    /// The labels of all voxels.
    pub(crate) fn objects(&self, min_size: usize, split: f32) -> Vec<u32> {
        let count = self.foreground.len();
        let around: Vec<Vec<usize>> = (0..count).map(|voxel| self.neighbours(voxel)).collect();
        let mut objects: Vec<Vec<usize>> = Vec::new();
        let mut seen = vec![false; count];
        for first in 0..count {
            if !self.foreground[first] || seen[first] {
                continue;
            }
            let mut component = vec![first];
            seen[first] = true;
            let mut next = 0;
            while next < component.len() {
                for &other in &around[component[next]] {
                    if self.foreground[other] && !seen[other] {
                        seen[other] = true;
                        component.push(other);
                    }
                }
                next += 1;
            }
            if component.len() >= min_size {
                component.sort_unstable();
                objects.extend(self.parts(&component, &around, min_size, split));
            }
        }
        objects.sort_by_key(|voxels| voxels.iter().min().copied());
        let mut labels = vec![0; count];
        for (label, voxels) in (1..).zip(objects) {
            voxels.into_iter().for_each(|voxel| labels[voxel] = label);
        }
        labels
    }

    /// Squared distance of a voxel to the nearest voxel of the volume that is not of the component.
    fn squared_distance(&self, voxel: usize, is_of: &[bool]) -> f32 {
        let at = self.at(voxel);
        let mut least = f32::INFINITY;
        for other in (0..is_of.len()).filter(|&other| !is_of[other]) {
            let to = self.at(other);
            let [z, y, x] = [0, 1, 2].map(|i| at[i].abs_diff(to[i]) as f32 * self.spacing[i]);
            least = least.min(x * x + y * y + z * z);
        }
        least
    }

    /// The parts of a component.
    fn parts(
        &self,
        component: &[usize],
        around: &[Vec<usize>],
        min_size: usize,
        split: f32,
    ) -> Vec<Vec<usize>> {
        if split == 0.0 {
            return vec![component.to_vec()];
        }
        let mut is_of = vec![false; around.len()];
        component.iter().for_each(|&voxel| is_of[voxel] = true);
        let mut height = vec![0.0; around.len()];
        for &voxel in component {
            height[voxel] = self.squared_distance(voxel, &is_of);
        }
        // Reconstruction by dilation of the lowered heights under the heights.
        let mut lowered: Vec<f32> = height.iter().map(|height| split * split * height).collect();
        loop {
            let mut changed = false;
            for &voxel in component {
                let near = around[voxel].iter().map(|&other| lowered[other]);
                let next = near.fold(lowered[voxel], f32::max).min(height[voxel]);
                changed |= next > lowered[voxel];
                lowered[voxel] = next;
            }
            if !changed {
                break;
            }
        }
        // Its regional maxima: level, and nothing higher beside them. In each the first of its
        // highest voxels is a marker.
        let mut markers = Vec::new();
        let mut seen = vec![false; around.len()];
        for &first in component {
            if seen[first] {
                continue;
            }
            let mut level = vec![first];
            seen[first] = true;
            let mut is_maximum = true;
            let mut next = 0;
            while next < level.len() {
                for &other in around[level[next]].iter().filter(|&&other| is_of[other]) {
                    is_maximum &= lowered[other] <= lowered[first];
                    if lowered[other] == lowered[first] && !seen[other] {
                        seen[other] = true;
                        level.push(other);
                    }
                }
                next += 1;
            }
            if is_maximum {
                level.sort_by(|&a, &b| height[b].total_cmp(&height[a]).then(a.cmp(&b)));
                markers.push(level[0]);
            }
        }
        markers.sort_by(|&a, &b| height[b].total_cmp(&height[a]).then(a.cmp(&b)));
        // Until no part is too small.
        loop {
            if markers.len() < 2 {
                return vec![component.to_vec()];
            }
            let parts = flood(&markers, &height, &is_of, around);
            if parts.iter().all(|part| part.len() >= min_size) {
                return parts;
            }
            let large = |(_, part): &(usize, Vec<usize>)| part.len() >= min_size;
            markers =
                markers.into_iter().zip(parts).filter(large).map(|(marker, _)| marker).collect();
        }
    }
}

/// Always the highest wet voxel, of these the one that got wet first, wets its dry neighbours.
fn flood(
    markers: &[usize],
    height: &[f32],
    is_of: &[bool],
    around: &[Vec<usize>],
) -> Vec<Vec<usize>> {
    let mut part_of: Vec<Option<usize>> = vec![None; height.len()];
    let mut parts: Vec<Vec<usize>> = markers.iter().map(|&marker| vec![marker]).collect();
    markers.iter().enumerate().for_each(|(part, &marker)| part_of[marker] = Some(part));
    let mut wet = markers.to_vec();
    while !wet.is_empty() {
        let mut best = 0;
        for i in 1..wet.len() {
            if height[wet[i]] > height[wet[best]] {
                best = i;
            }
        }
        // What remains keeps its order.
        let voxel = wet.remove(best);
        for &other in around[voxel].iter().filter(|&&other| is_of[other]) {
            if part_of[other].is_none() {
                part_of[other] = part_of[voxel];
                parts[part_of[voxel].expect("it is wet")].push(other);
                wet.push(other);
            }
        }
    }
    parts
}
