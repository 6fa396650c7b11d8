//! Choosing a device.

use super::*;

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
    assert_eq!(executor.name(), auto.name);
}
