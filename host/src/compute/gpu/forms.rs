//! Which form of a pass a call runs in.

use askem_kernels::Call;
use askem_wgsl::{Entry, entry_of, launch_form};

use super::connection::Connection;
use super::{Choice, GpuExecutor};
use crate::error::Result;

/// The fewest channels that Winograd's algorithm sums over: the factor by which it magnifies rounding errors does not grow with the
/// sum, while the bound of a plain sum does.
const LEAST_SUMMED: u32 = 16;
/// The fewest rows and columns: in smaller maps most taps lie outside, which a plain sum leaves out and this one subtracts again.
const LEAST_SIDE: u32 = 4;

/// The forms of a pass that a device can run for some call, as numbers of `entry.forms`. `side` is that of the matrices, where there
/// are matrix units.
pub(super) fn of_device(entry: &Entry, side: Option<u32>) -> Vec<usize> {
    let runs = |&i: &usize| entry.forms[i].side.is_none() || entry.forms[i].side == side;
    (0..entry.forms.len()).filter(runs).collect()
}

/// Up to so many workgroups on each core it counts that they come in whole rounds: the last round takes as long as the others.
const ROUNDS: u32 = 4;

/// Whether a call's time goes into arithmetic and indices, so that it pays to know the sizes when its module is made.
pub(super) fn may_be_specialised(call: &Call) -> bool {
    sizes(call).is_some()
}

/// Those that compute a call.
pub(super) fn usable(call: &Call, side: Option<u32>) -> Vec<usize> {
    let (_, entry) = entry_of(call);
    let mut forms = of_device(entry, side);
    forms.retain(|&i| !entry.forms[i].is_winograd || suits_winograd(call));
    forms
}

fn suits_winograd(call: &Call) -> bool {
    let is_3x3 = |[kernel, h, w]: [u32; 3]| kernel == 3 && h.min(w) >= LEAST_SIDE;
    kernel_and_map(call).is_some_and(is_3x3)
        && sizes(call).is_some_and(|[summed, ..]| summed >= LEAST_SUMMED)
}

/// The form among these, of which there is at least one, that is likely the fastest on so many cores, before anything was measured.
/// `side` is that of the matrices, where there are matrix units.
pub(super) fn likely(call: &Call, forms: &[usize], side: Option<u32>, cores: u32) -> usize {
    let (_, entry) = entry_of(call);
    let first = *forms.first().expect("a device without a form for a pass is refused");
    let Some([summed, made, rows]) = sizes(call).filter(|_| forms.len() > 1) else { return first };
    // Matrices that are mostly padding cost more than they save.
    let fills = |side: u32| 2 * summed >= side && 2 * made >= side;
    let side = side.filter(|&side| fills(side));
    let tile = |i: &usize| {
        let form = &entry.forms[*i];
        let find = |name: &str| form.find_constant(name);
        // A transposed convolution's gradient makes channels of the input, and its tiles are of pixels.
        let out = find("TILE_OUT").or(find("TILE_IN")).expect("a tile has channels");
        let down = find("TILE_H").or(find("TILE_PIXELS")).unwrap_or(1);
        let lanes = u64::from(made.next_multiple_of(out)) * u64::from(rows.next_multiple_of(down));
        // The work that the busiest core does: those without a workgroup don't help.
        let workgroups: u32 = launch_form(call, *i).workgroups.iter().product();
        let full = workgroups >= ROUNDS * cores;
        let counted = if full { workgroups } else { workgroups.next_multiple_of(cores) };
        let busiest = lanes * u64::from(counted) / u64::from(workgroups);
        // Then fewest idle lanes, then the most channels, which reads the inputs least often.
        (busiest, lanes, u32::MAX - out)
    };
    // Matrix units before Winograd's algorithm before plain sums, as far as they are not left out.
    let of_kind = |(side, is_winograd): (Option<u32>, bool)| {
        let is_of_kind = |&i: &usize| {
            let form = &entry.forms[i];
            form.side == side && form.is_winograd == is_winograd
        };
        forms.iter().copied().filter(is_of_kind).min_by_key(tile)
    };
    let kinds = [(side, false), (None, true), (None, false)];
    let kinds = kinds.into_iter().skip(usize::from(side.is_none()));
    kinds.into_iter().find_map(of_kind).unwrap_or(first)
}

impl GpuExecutor {
    /// The forms in which a call can run here.
    pub(super) fn forms_of(&self, call: &Call) -> Vec<usize> {
        let mut forms = usable(call, self.connection.side);
        let pass = call.signature().name;
        forms.retain(|&form| !self.left_out.contains(pass, form));
        forms
    }

    /// The form of a call, and whether it is specialised to the sizes.
    pub(super) fn form_of(&self, call: &Call, halves: &[&str]) -> Result<(usize, bool)> {
        let usable = self.forms_of(call);
        if usable.is_empty() {
            self.check_left()?;
        }
        let measured = self.tuning.as_ref().and_then(|tuning| tuning.get(call, halves));
        let fastest = measured.and_then(|choice| choice.fastest_of(&usable));
        let form = match (self.overrides.form, fastest) {
            (Some(number), _) => usable[number % usable.len()],
            (None, Some(form)) => form,
            (None, None) => {
                let Connection { side, cores, .. } = &self.connection;
                likely(call, &usable, *side, cores.count)
            }
        };
        // That was measured of the fastest of all.
        let measured = measured.filter(|choice| choice.form() == form);
        let specialised =
            self.overrides.specialised.or_else(|| measured.map(Choice::is_specialised));
        Ok((form, specialised.unwrap_or(false)))
    }
}

/// The side of the filters, and rows and columns of the maps, of a convolution that does not make filters' gradients.
fn kernel_and_map(call: &Call) -> Option<[u32; 3]> {
    Some(match call {
        Call::Conv2dForward(p) | Call::Conv2dBackwardInput(p) => [p.kernel, p.h, p.w],
        Call::Conv2dJoinedForward(p) | Call::Conv2dJoinedBackwardInput(p) => [p.kernel, p.h, p.w],
        Call::Conv2dStatisticsForward(p) => [p.kernel, p.h, p.w],
        Call::Conv2dNormReluForwardEval(p) => [p.kernel, p.h, p.w],
        Call::Conv2dSplitChannelsForward(p) | Call::Conv2dSplitChannelsBackwardInput(p) => {
            [p.kernel, p.h, p.w]
        }
        _ => return None,
    })
}

/// The channels that a convolution sums over, those that it makes, and the rows of its maps; pixels in place of rows for a transposed
/// one.
fn sizes(call: &Call) -> Option<[u32; 3]> {
    Some(match call {
        Call::Conv2dForward(p) => [p.c_in, p.c_out, p.h],
        Call::Conv2dBackwardInput(p) => [p.c_out, p.c_in, p.h],
        Call::Conv2dBackwardWeight(p) => [p.c_in, p.c_out, p.h],
        Call::Conv2dJoinedForward(p) => [p.c_in, p.c_out, p.h],
        Call::Conv2dJoinedBackwardInput(p) => [p.c_out, p.c_in, p.h],
        Call::Conv2dStatisticsForward(p) => [p.c_in, p.c_out, p.h],
        Call::Conv2dNormReluForwardEval(p) => [p.c_in, p.c_out, p.h],
        // Of a slice.
        Call::Conv2dSplitChannelsForward(p) => [p.c_in / p.slices, p.c_out, p.h],
        Call::Conv2dSplitChannelsBackwardInput(p) => [p.c_out / p.slices, p.c_in, p.h],
        Call::Conv2dSplitKBackwardWeight(p) => [p.c_in, p.c_out, p.h],
        Call::ConvTranspose2dForward(p) => [p.c_in, p.c_out, p.h * p.w],
        Call::ConvTranspose2dBackwardInput(p) => [p.c_out, p.c_in, p.h * p.w],
        Call::ConvTranspose2dBackwardWeight(p) => [p.c_in, p.c_out, p.h * p.w],
        Call::ConvTranspose2dSplitKBackwardWeight(p) => [p.c_in, p.c_out, p.h * p.w],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use askem_kernels::{conv_transpose2d, conv2d};

    use super::*;

    fn likely_of_all(call: &Call, side: Option<u32>, cores: u32) -> usize {
        likely(call, &usable(call, side), side, cores)
    }

    fn tile(c_in: u32, c_out: u32, side: Option<u32>) -> (Option<u32>, u32) {
        let p = conv2d::Params { n: 1, c_in, c_out, h: 64, w: 64, kernel: 1, has_bias: 0 };
        let call = Call::Conv2dForward(p);
        let form = &entry_of(&call).1.forms[likely_of_all(&call, side, 1)];
        (form.side, form.constant("TILE_OUT"))
    }

    #[test]
    fn what_is_left_out_gives_way_to_the_next_kind() {
        let p = conv2d::Params { n: 1, c_in: 64, c_out: 64, h: 64, w: 64, kernel: 3, has_bias: 0 };
        let call = Call::Conv2dForward(p);
        let all = entry_of(&call).1.forms;
        let mut forms = usable(&call, Some(16));
        let name = |forms: &[usize]| all[likely(&call, forms, Some(16), 1)].name();
        assert_eq!(name(&forms), "matrix16-tile32");
        forms.retain(|&i| all[i].side.is_none());
        assert_eq!(name(&forms), "winograd-tile32");
        forms.retain(|&i| !all[i].is_winograd);
        assert_eq!(name(&forms), "tile32");
        forms.retain(|&i| all[i].name() != "tile32");
        assert_eq!(name(&forms), "tile16");
    }

    #[test]
    fn tiles_fit_the_channels() {
        assert_eq!(tile(64, 64, None), (None, 32));
        assert_eq!(tile(64, 32, None), (None, 32));
        assert_eq!(tile(64, 16, None), (None, 16));
        assert_eq!(tile(16, 48, None), (None, 16));
        assert_eq!(tile(16, 5, None), (None, 8));
        assert_eq!(tile(16, 1, None), (None, 8));
        // Of 8 rows a tile of 16 channels and 16 rows would use as many lanes, and read more often.
        let p = conv2d::Params { n: 1, c_in: 64, c_out: 16, h: 8, w: 8, kernel: 1, has_bias: 0 };
        assert_eq!(likely_of_all(&Call::Conv2dForward(p), None, 1), 0);
    }

    #[test]
    fn smaller_tiles_fill_cores_that_larger_ones_leave_idle() {
        // A workgroup takes all 64 channels of some pixels, or half of them.
        let tile = |n, side, cores| {
            let p = conv_transpose2d::Params { n, c_in: 64, c_out: 32, h: side, w: side };
            let call = Call::ConvTranspose2dBackwardInput(p);
            let number = likely_of_all(&call, Some(16), cores);
            let workgroups: u32 = launch_form(&call, number).workgroups.iter().product();
            (entry_of(&call).1.forms[number].constant("TILE_IN"), workgroups)
        };
        assert_eq!(tile(4, 8, 2), (64, 4));
        assert_eq!(tile(4, 8, 20), (32, 8));
        assert_eq!(tile(4, 32, 2), (64, 64));
        assert_eq!(tile(4, 32, 132), (32, 128));
        assert_eq!(tile(20, 64, 132), (64, 1280));
        // Of plain tiles all are of one size, so that the cores don't matter.
        for c in [5, 16, 48, 64] {
            for h in [8, 16, 32, 128] {
                let p = conv2d::Params { n: 4, c_in: c, c_out: c, h, w: h, kernel: 1, has_bias: 0 };
                let of = |cores| likely_of_all(&Call::Conv2dForward(p), None, cores);
                assert!([2, 40, 132, 304].into_iter().all(|cores| of(cores) == of(1)), "{p:?}");
            }
        }
    }

    #[test]
    fn winograd_takes_3x3_kernels_and_long_sums() {
        let p = conv2d::Params { n: 1, c_in: 16, c_out: 5, h: 4, w: 64, kernel: 3, has_bias: 0 };
        let winograd = |call: Call, side| {
            let forms = entry_of(&call).1.forms;
            let count = usable(&call, side).iter().filter(|&&i| forms[i].is_winograd).count();
            let form = &forms[likely_of_all(&call, side, 1)];
            assert!(form.is_winograd <= (count > 0));
            (count, form.is_winograd, form.constant("TILE_OUT"))
        };
        assert_eq!(winograd(Call::Conv2dForward(p), None), (2, true, 16));
        // Five channels do not fill matrices, as many as are summed do.
        assert_eq!(winograd(Call::Conv2dForward(p), Some(16)), (2, true, 16));
        let wide = conv2d::Params { c_out: 64, ..p };
        assert_eq!(winograd(Call::Conv2dForward(wide), None), (2, true, 32));
        assert_eq!(winograd(Call::Conv2dForward(wide), Some(16)), (2, false, 32));
        // The gradient sums over the others.
        assert_eq!(winograd(Call::Conv2dBackwardInput(p), None), (0, false, 32));
        let few = conv2d::Params { c_in: 15, ..wide };
        assert_eq!(winograd(Call::Conv2dForward(few), None), (0, false, 32));
        let low = conv2d::Params { h: 3, ..wide };
        assert_eq!(winograd(Call::Conv2dForward(low), None), (0, false, 32));
        let one = conv2d::Params { kernel: 1, ..wide };
        assert_eq!(winograd(Call::Conv2dForward(one), None), (0, false, 32));
    }

    #[test]
    fn matrix_units_take_what_fills_them() {
        assert_eq!(tile(64, 64, Some(16)), (Some(16), 32));
        assert_eq!(tile(8, 16, Some(16)), (Some(16), 16));
        assert_eq!(tile(1, 16, Some(16)), (None, 16));
        assert_eq!(tile(16, 2, Some(16)), (None, 8));
        assert_eq!(tile(16, 16, Some(8)), (Some(8), 16));
    }

    #[test]
    fn transposed_convolutions_choose_too() {
        let choice = |call: Call, tile: &str| {
            let form = &entry_of(&call).1.forms[likely_of_all(&call, Some(16), 1)];
            (form.side, form.constant(tile))
        };
        let p = conv_transpose2d::Params { n: 1, c_in: 64, c_out: 32, h: 32, w: 32 };
        assert_eq!(choice(Call::ConvTranspose2dForward(p), "TILE_OUT"), (Some(16), 32));
        assert_eq!(choice(Call::ConvTranspose2dBackwardInput(p), "TILE_IN"), (Some(16), 64));
        assert_eq!(choice(Call::ConvTranspose2dBackwardWeight(p), "TILE_OUT"), (Some(16), 16));
        let p = conv_transpose2d::Params { c_in: 32, c_out: 16, ..p };
        assert_eq!(choice(Call::ConvTranspose2dForward(p), "TILE_OUT"), (Some(16), 16));
        assert_eq!(choice(Call::ConvTranspose2dBackwardInput(p), "TILE_IN"), (Some(16), 32));
        let p = conv_transpose2d::Params { c_in: 8, c_out: 4, ..p };
        assert_eq!(choice(Call::ConvTranspose2dForward(p), "TILE_OUT"), (None, 16));
        assert_eq!(choice(Call::ConvTranspose2dBackwardWeight(p), "TILE_OUT"), (None, 8));
    }
}
