//! The backward half of a training step: gradients of all parameters, from the logits to the first unit.

use askem_kernels::{Call, relu};

use super::{Net, Saved, SavedUnit};
use crate::compute::plan::View;
use crate::network::unet::{LEVELS, Norm, decoder_name};

impl Net<'_> {
    /// Gradients of a unit's weights; the gradient of its input unless it is the image.
    fn unit_backward(&mut self, saved: &SavedUnit, dy: View) -> Option<View> {
        let unit = &saved.unit;
        let name = &unit.name;
        let len = saved.y.len;
        let relu = relu::Params { len: len as u32 };
        let mut gradient = self.b.transient(format!("d {name} relu"), len);
        self.b.step(Call::ReluBackwardInput(relu), &[saved.y, dy], &[gradient]);
        if let Some(mask) = saved.mask {
            let dx = self.b.transient(format!("d {name} dropout"), len);
            let call = Call::DropoutBackwardInput(self.dropout_params(unit));
            self.b.step(call, &[gradient, mask], &[dx]);
            gradient = dx;
        }
        gradient = self.normalise_backward(saved, gradient, len);

        let params = self.conv_params(unit);
        let weight_name = format!("{name}.conv.weight");
        let dweight = self.gradient(&weight_name);
        self.b.step(Call::Conv2dBackwardWeight(params), &[saved.x, gradient], &[dweight]);
        (saved.x != self.x).then(|| {
            let dx = self.b.transient(format!("d {name} conv"), saved.x.len);
            let weight = self.parameter(&weight_name);
            self.b.step(Call::Conv2dBackwardInput(params), &[gradient, weight], &[dx]);
            dx
        })
    }

    fn normalise_backward(&mut self, saved: &SavedUnit, dy: View, len: usize) -> View {
        let unit = &saved.unit;
        let name = &unit.name;
        let (conv, mean, rstd) = (saved.conv, saved.mean, saved.rstd);
        let dx = self.b.transient(format!("d {name} norm"), len);
        match self.net.norm {
            Norm::Batch => {
                let params = self.batch_norm_params(unit);
                let weight = self.parameter(&format!("{name}.norm.weight"));
                let dweight = self.gradient(&format!("{name}.norm.weight"));
                let dbias = self.gradient(&format!("{name}.norm.bias"));
                let call = Call::BatchNormBackwardWeight(params);
                self.b.step(call, &[conv, dy, mean, rstd], &[dweight, dbias]);
                let call = Call::BatchNormBackwardInput(params);
                let reads = [conv, dy, mean, rstd, weight, dweight, dbias];
                self.b.step(call, &reads, &[dx]);
            }
            Norm::Instance => {
                let params = self.instance_norm_params(unit);
                let sum = self.b.transient(format!("{name} sum dy"), mean.len);
                let sum_xhat = self.b.transient(format!("{name} sum dy xhat"), mean.len);
                let call = Call::InstanceNormBackwardStatistics(params);
                self.b.step(call, &[conv, dy, mean, rstd], &[sum, sum_xhat]);
                let call = Call::InstanceNormBackwardInput(params);
                self.b.step(call, &[conv, dy, mean, rstd, sum, sum_xhat], &[dx]);
            }
        }
        dx
    }

    pub(super) fn backward(&mut self, saved: &Saved, dlogits: View) {
        let params = self.head_params();
        let dweight = self.gradient("head.weight");
        let dbias = self.gradient("head.bias");
        self.b.step(Call::Conv2dBackwardWeight(params), &[saved.features, dlogits], &[dweight]);
        self.b.step(Call::Conv2dBackwardBias(params), &[dlogits], &[dbias]);
        let mut dy = self.b.transient("d features", saved.features.len);
        let weight = self.parameter("head.weight");
        self.b.step(Call::Conv2dBackwardInput(params), &[dlogits, weight], &[dy]);

        let mut skips = Vec::new();
        for (level, (input, block)) in saved.decoder.iter().rev().enumerate() {
            let name = decoder_name(level);
            let djoined = self.block_backward(block, dy).expect("not the image");
            let dskip = self.b.transient(format!("d enc{level} skip"), self.map_len(level));
            let dup = self.b.transient(format!("d {name} up"), self.map_len(level));
            let call = Call::ConcatChannelsBackwardInput(self.concat_params(level));
            self.b.step(call, &[djoined], &[dskip, dup]);
            skips.push(dskip);

            let params = self.up_params(level);
            let dweight = self.gradient(&format!("{name}.up.weight"));
            let dbias = self.gradient(&format!("{name}.up.bias"));
            let call = Call::ConvTranspose2dBackwardWeight(params);
            self.b.step(call, &[*input, dup], &[dweight]);
            self.b.step(Call::ConvTranspose2dBackwardBias(params), &[dup], &[dbias]);
            dy = self.b.transient(format!("d {name} in"), input.len);
            let weight = self.parameter(&format!("{name}.up.weight"));
            self.b.step(Call::ConvTranspose2dBackwardInput(params), &[dup, weight], &[dy]);
        }

        dy = self.block_backward(&saved.bottleneck, dy).expect("not the image");
        for level in (0..LEVELS).rev() {
            // The skip's gradient lies there already; the pool adds its own.
            let dblock = skips[level];
            let call = Call::MaxPool2dBackwardInput(self.pool_params(level));
            self.b.step(call, &[dy, saved.indices[level]], &[dblock]);
            match self.block_backward(&saved.encoder[level], dblock) {
                Some(dx) => dy = dx,
                None => break,
            }
        }
    }

    fn block_backward(&mut self, block: &[SavedUnit; 2], dy: View) -> Option<View> {
        let dy = self.unit_backward(&block[1], dy).expect("not the image");
        self.unit_backward(&block[0], dy)
    }
}
