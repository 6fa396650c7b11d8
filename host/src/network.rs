//! The U-Net, a model (a network with its weights) and the weights file.

pub mod model;
pub mod unet;
#[cfg(feature = "files")]
pub mod weights;
