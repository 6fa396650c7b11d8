//! Choosing a device.

use super::*;

fn open(choice: &DeviceChoice, threads: Option<usize>) -> Result<Box<dyn Executor>> {
    super::open(choice, threads, PrecisionChoice::Auto)
}

fn choice(text: &str) -> DeviceChoice {
    text.parse().expect("every text is a choice")
}

#[test]
fn texts_name_choices() {
    assert_eq!(choice("auto"), DeviceChoice::Auto);
    assert_eq!(choice("CPU"), DeviceChoice::Cpu);
    assert_eq!(choice("gpu"), DeviceChoice::Gpu);
    assert_eq!(choice("gpu:3"), DeviceChoice::GpuNumber(3));
    assert_eq!(choice("gpu:x"), DeviceChoice::Named("gpu:x".into()));
    assert_eq!(choice("ALL"), DeviceChoice::All);
    for text in ["auto", "cpu", "gpu", "gpu:3", "all", "RTX"] {
        assert_eq!(choice(text).to_string(), text);
    }
    assert_eq!(choice("RTX"), DeviceChoice::Named("RTX".into()));
    assert_eq!(DeviceChoice::default(), DeviceChoice::Auto);
}

#[test]
fn the_processor_is_always_there() {
    let executor = open(&DeviceChoice::Cpu, Some(1)).expect("a thread starts");
    assert_eq!(executor.name(), "cpu (1 thread)");
}

#[test]
fn an_unknown_name_is_an_error_that_lists_what_there_is() {
    let error = match open(&choice("no such gpu"), None) {
        Ok(executor) => panic!("{} opened", executor.name()),
        Err(error) => error.to_string(),
    };
    assert!(error.contains("`no such gpu`") && error.contains("--device cpu"), "{error}");
    for adapter in adapters() {
        assert!(error.contains(adapter.name()), "{} is missing: {error}", adapter.name());
    }
}

#[test]
fn software_drivers_come_by_name_only() {
    let all = adapters();
    if let Some(software) = all.iter().find(|adapter| adapter.is_software()) {
        let executor = open(&choice(&software.name().to_uppercase()), None).expect("it opens");
        assert_eq!(executor.name(), software.name());
    }
    if all.iter().all(Adapter::is_software) {
        let error = open(&DeviceChoice::Gpu, None).err().expect("there is no GPU").to_string();
        assert!(error.contains("no GPU"), "{error}");
        let error = expand(&[DeviceChoice::All]).unwrap_err().to_string();
        assert!(error.contains("no GPU") && error.contains("--device cpu"), "{error}");
        let error = open(&DeviceChoice::GpuNumber(0), None).err().expect("there is no GPU");
        assert!(error.to_string().contains("number 0"), "{error}");
        let executor = open(&DeviceChoice::Auto, None).expect("the processor is there");
        assert!(executor.name().starts_with("cpu"), "{}", executor.name());
    }
}

#[test]
fn the_list_marks_what_auto_takes() {
    let reports = list();
    assert_eq!(reports.iter().filter(|report| report.auto).count(), 1);
    for report in &reports {
        assert_eq!(report.self_test, "ok", "{}", report.name);
        assert!(!(report.auto && report.kind == "cpu" && report.backend != "native"));
    }
    let auto = reports.iter().find(|report| report.auto).expect("one is marked");
    let executor = open(&DeviceChoice::Auto, None).expect("it opens");
    // The name of a GPU goes on with the precision.
    assert!(executor.name().starts_with(&auto.name), "{}", executor.name());
}

#[test]
fn precisions_are_what_the_device_has() {
    for (text, precision) in
        [("f32", Precision::F32), ("f16", Precision::F16), ("tensor", Precision::Tensor)]
    {
        let parsed: PrecisionChoice = text.parse().expect("it is one");
        assert_eq!((parsed, parsed.to_string()), (PrecisionChoice::Only(precision), text.into()));
    }
    assert_eq!("auto".parse(), Ok(PrecisionChoice::default()));
    assert!("half".parse::<PrecisionChoice>().is_err_and(|error| error.contains("f16")));

    let error = super::open(&DeviceChoice::Cpu, None, PrecisionChoice::Only(Precision::F16));
    let error = error.err().expect("the processor has f32 alone").to_string();
    assert!(error.contains("--precision f16 is for GPUs"), "{error}");
    for report in list().iter().filter(|report| report.backend != "native") {
        for precision in Precision::ALL {
            let opened = super::open(&choice(&report.name), None, PrecisionChoice::Only(precision));
            match opened {
                Ok(executor) => {
                    assert!(report.precisions.contains(&precision), "{report:?}");
                    assert_eq!(executor.precision(), precision);
                }
                Err(error) => {
                    assert!(!report.precisions.contains(&precision), "{report:?}");
                    assert!(error.to_string().contains("take --precision f32"), "{error}");
                }
            }
        }
    }
}
