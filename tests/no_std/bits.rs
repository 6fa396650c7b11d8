// What both the program without std and the test with std compute: a hash of the bits of many ops' results.

use askem_kernels::rng::{Purpose, Rng, Xoshiro256PlusPlus, stream};
use askem_kernels::{
    Error, Real, adam, bald, batch_norm, conv_transpose2d, conv2d, cross_entropy, dropout, entropy,
    instance_norm, max_pool2d, min_sq_dist, softmax,
};

const PIXELS: usize = 5 * 7;
const MAPS: usize = 3 * PIXELS;

/// FNV-1a over the bits of numbers as `f64`, which holds every `f32`.
struct Hash(u64);

impl Hash {
    fn word(&mut self, word: u64) {
        for byte in word.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn numbers<T: Real>(&mut self, numbers: &[T]) {
        for number in numbers {
            self.word(number.to_f64().to_bits());
        }
    }
}

fn draw<T: Real, const N: usize>(rng: &mut Xoshiro256PlusPlus) -> [T; N] {
    // 24 bits are exact at both precisions; from -4 to 4.
    core::array::from_fn(|_| {
        T::from_f64(f64::from(rng.next_u32() >> 8) / f64::from(1u32 << 21) - 4.0)
    })
}

fn ops<T: Real>(hash: &mut Hash) -> Result<(), Error> {
    let (n, c, h, w) = (1, 3, 5, 7);
    let hw = h * w;
    let mut rng = stream(1, Purpose::Test, 0, 0);
    let rng = &mut rng;
    let x: [T; MAPS] = draw(rng);
    let (weight, bias): ([T; 3 * 3 * 9], [T; 3]) = (draw(rng), draw(rng));

    let p = conv2d::Params { n, c_in: c, c_out: c, h, w, kernel: 3, has_bias: 1 };
    let mut y = [T::ZERO; MAPS];
    conv2d::forward(&p, &x, &weight, &bias, &mut y)?;
    hash.numbers(&y);
    let mut dweight = [T::ZERO; 3 * 3 * 9];
    conv2d::backward_weight(&p, &x, &y, &mut dweight)?;
    hash.numbers(&dweight);

    let p = conv_transpose2d::Params { n, c_in: c, c_out: 2, h, w };
    let mut up = [T::ZERO; 2 * 4 * PIXELS];
    conv_transpose2d::forward(&p, &x, &weight[..24], &bias[..2], &mut up)?;
    hash.numbers(&up);

    let p = max_pool2d::Params { n, c, h, w };
    let (mut pooled, mut indices) = ([T::ZERO; 18], [0; 18]);
    max_pool2d::forward(&p, &x, &mut pooled, &mut indices)?;
    hash.numbers(&pooled);
    indices.iter().for_each(|&i| hash.word(u64::from(i)));

    let p = batch_norm::Params { n, c, hw, eps: 1e-5, momentum: 0.1 };
    let (mut mean, mut rstd) = ([T::ZERO; 3], [T::ZERO; 3]);
    let (mut running_mean, mut running_var) = ([T::ZERO; 3], [T::ONE; 3]);
    batch_norm::statistics(&p, &x, &mut mean, &mut rstd, &mut running_mean, &mut running_var)?;
    [mean, rstd, running_mean, running_var].iter().for_each(|s| hash.numbers(s));
    let p = instance_norm::Params { n, c, hw, eps: 1e-5 };
    instance_norm::forward(&p, &x, &mean, &rstd, &mut y)?;
    hash.numbers(&y);

    let p = softmax::Params { n, c, hw };
    let mut probabilities = [T::ZERO; MAPS];
    softmax::forward(&p, &x, &mut probabilities)?;
    hash.numbers(&probabilities);
    let mut map = [T::ZERO; PIXELS];
    entropy::forward(&entropy::Params { n, c, hw }, &probabilities, &mut map)?;
    hash.numbers(&map);
    let p = bald::Params { n, c, hw, passes: 3 };
    bald::mutual_information(&p, &probabilities, &[T::ZERO; PIXELS], &mut map)?;
    hash.numbers(&map);

    let p = cross_entropy::Params { n, c, hw, ignore_label: 255 };
    let labels: [u32; PIXELS] =
        core::array::from_fn(|i| if i % 9 == 4 { 255 } else { i as u32 % 3 });
    let (mut partials, mut loss) = ([T::ZERO; 2], [T::ZERO; 3]);
    cross_entropy::forward(&p, &x, &labels, &bias, &mut partials)?;
    cross_entropy::reduce(&p, &partials, &mut loss)?;
    hash.numbers(&loss);

    let p = dropout::Params { n: 2, c, hw, element: 1, layer: 3, threshold: 1 << 30, scale: 1.25 };
    let mut mask = [T::ZERO; 2 * MAPS];
    dropout::mask(&p, &[1, 2, 3, 4], &mut mask)?;
    hash.numbers(&mask);

    let p = adam::Params { len: 3, beta1: 0.9, beta2: 0.999, eps: 1e-8 };
    let step = adam::step(&p, 1e-3, 2).map(|s| T::from_f64(f64::from(s)));
    let (mut m, mut v) = ([T::ONE; 3], [T::ONE; 3]);
    let mut param = mean;
    adam::update(&p, &bias, &step, &mut param, &mut m, &mut v)?;
    [param, m, v].iter().for_each(|s| hash.numbers(s));

    let p = min_sq_dist::Params { rows: 15, centers: 3, dim: 7 };
    let (mut sq_dist, mut nearest) = ([T::ZERO; 15], [0; 15]);
    min_sq_dist::forward(&p, &x, &weight[..21], &mut sq_dist, &mut nearest)?;
    hash.numbers(&sq_dist);
    nearest.iter().for_each(|&i| hash.word(u64::from(i)));
    Ok(())
}

/// The hash over all ops at both precisions.
pub(crate) fn hash() -> Result<u64, Error> {
    let mut hash = Hash(0xcbf2_9ce4_8422_2325);
    ops::<f32>(&mut hash)?;
    ops::<f64>(&mut hash)?;
    Ok(hash.0)
}
