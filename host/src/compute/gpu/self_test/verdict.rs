//! What a self-test found, as later starts read it.

use super::super::GpuExecutor;
#[cfg(feature = "files")]
use super::super::cache::Kind;
use crate::compute::device::LeftOutForm;
use crate::error::Error;

/// What a self-test found, as it is kept.
#[derive(Debug, Default)]
pub(super) struct KeptVerdict {
    pub(super) left_out: Vec<LeftOutForm>,
    /// Why the device is of no use in this precision, if it is of none.
    pub(super) refused: Option<String>,
}

#[cfg(feature = "files")]
impl GpuExecutor {
    pub(super) fn kept_verdict(&self) -> Option<KeptVerdict> {
        let bytes = self.connection.cache.read(Kind::SelfTest)?;
        let kept: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
        let text = |value: &serde_json::Value| Some(value.as_str()?.to_owned());
        let form = |value: &serde_json::Value| {
            Some(LeftOutForm { form: text(&value["form"])?, why: text(&value["why"])? })
        };
        let left_out: Option<Vec<_>> = kept["left_out"].as_array()?.iter().map(form).collect();
        let refused = &kept["refused"];
        if !refused.is_null() && !refused.is_string() {
            return None;
        }
        Some(KeptVerdict { left_out: left_out?, refused: text(refused) })
    }

    pub(in crate::compute::gpu) fn keep_verdict(&self, refused: Option<&Error>) {
        // What a test spoils is not the device's fault.
        if self.overrides.spoiled.is_some() {
            return;
        }
        let form = |out: LeftOutForm| serde_json::json!({ "form": out.form, "why": out.why });
        let left_out: Vec<_> = self.left_out().into_iter().map(form).collect();
        let device = self.connection.cache.device();
        let refused = refused.map(ToString::to_string);
        let kept =
            serde_json::json!({ "device": device, "left_out": left_out, "refused": refused });
        self.connection.cache.write(Kind::SelfTest, kept.to_string().as_bytes());
    }
}

/// Without files every start tests.
#[cfg(not(feature = "files"))]
impl GpuExecutor {
    pub(super) fn kept_verdict(&self) -> Option<KeptVerdict> {
        None
    }

    pub(in crate::compute::gpu) fn keep_verdict(&self, _: Option<&Error>) {}
}
