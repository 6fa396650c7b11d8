//! Published datasets by name: where their files lie below a folder, and which of them test.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Deserialize;

use super::options::DataArgs;
use crate::error::{Error, Result};

/// A published dataset with labelled mitochondria. askem does not download it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Dataset {
    /// Drosophila ventral nerve cord, ssTEM, 20 x 1024 x 1024; trains on the upper half. Gerhard et al., doi 10.6084/m9.figshare.856713,
    /// CC BY-NC-SA 3.0. DIR is the download or its stack1: raw/*.tif, mitochondria/*.png
    Vnc,
    /// Mouse hippocampus, FIB-SEM, 165 x 768 x 1024 twice. CVLab, epfl.ch/labs/cvlab/data/data-em, whose page has the terms. DIR holds training.tif,
    /// training_groundtruth.tif, testing.tif, testing_groundtruth.tif
    Epfl,
    /// Mouse cortex, ATUM-SEM, 31 x 8416 x 8624; trains on the upper half. Xiao et al., doi 10.3389/fnana.2018.00092, which says where it is; ask its
    /// authors for the terms. DIR holds raw and labels, each a folder or a .tif
    Mira,
    /// EPFL's volumes with better labels. Casser et al., casser.io/connectomics, whose page has the terms. DIR holds Train_In, Train_Out, Test_In,
    /// Test_Out
    #[value(name = "lucchi++")]
    #[serde(rename = "lucchi++")]
    LucchiPp,
}

impl Dataset {
    /// What to look for, in the order raw, labels, test images, test labels: each by any of these names.
    fn files(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Vnc => &[&["raw", "stack1/raw"], &["mitochondria", "stack1/mitochondria"]],
            Self::Epfl => &[
                &["training.tif"],
                &["training_groundtruth.tif"],
                &["testing.tif"],
                &["testing_groundtruth.tif"],
            ],
            Self::Mira => &[&["raw", "raw.tif"], &["labels", "labels.tif"]],
            Self::LucchiPp => &[&["Train_In"], &["Train_Out"], &["Test_In"], &["Test_Out"]],
        }
    }

    /// The dataset's images and labels below a folder.
    ///
    /// # Errors
    /// [`Error::Usage`] that names what is missing.
    pub(super) fn below(self, root: &Path) -> Result<DataArgs> {
        let name = self.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned());
        let find = |names: &[&str]| -> Result<PathBuf> {
            let found = names.iter().map(|name| root.join(name)).find(|path| path.exists());
            found.ok_or_else(|| {
                Error::Usage(format!(
                    "--dataset {name}: {} is missing in {}; see --help for the layout and where the data is to be had",
                    names.join(" or "),
                    root.display()
                ))
            })
        };
        let mut paths =
            self.files().iter().map(|names| find(names)).collect::<Result<Vec<_>>>()?.into_iter();
        Ok(DataArgs {
            raw: paths.next().into_iter().collect(),
            labels: paths.next().into_iter().collect(),
            test_raw: paths.next().into_iter().collect(),
            test_labels: paths.next().into_iter().collect(),
            ..DataArgs::default()
        })
    }
}
