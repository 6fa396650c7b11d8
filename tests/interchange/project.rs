//! Does a query of a project open in other programs, and do their labels come back?

use std::fs;
use std::io::Cursor;

use crate::program::askem;
use crate::run;

#[test]
fn labels_of_other_programs_come_back_pixel_by_pixel() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    run("make_raw.py", &[&at("raw.tif")]);
    let init = |name: &str| {
        askem(["init", "--patch", "32", "--width", "4", "--pool", "40", "--initial", "5"])
            .args([at(name)])
            .path("--raw", &at("raw.tif"))
            .succeed();
    };
    init("brain");
    let asked = askem(["query", "--device", "cpu", "--json"]).args([at("brain")]).succeed().json();
    let written = run("answer_query.py", &[&at("brain"), &at("raw.tif"), folder.path()]);
    let labels = fs::read(at("labels.bin")).unwrap();
    for (number, name) in written.lines().enumerate() {
        // A project of the same volume and seed asks for the same patches.
        let project = format!("brain{number}");
        init(&project);
        askem(["query", "--device", "cpu"]).args([at(&project)]).succeed();
        askem(["import"]).args([at(&project), at(name)]).succeed();
        let patches = asked["patches"].as_array().unwrap();
        for (patch, want) in patches.iter().zip(labels.chunks(32 * 32)) {
            let [z, y, x] = ["z", "y", "x"].map(|axis| patch[axis].as_u64().unwrap());
            let file = at(&project).join(format!("labels/z{z:05}_y{y:06}_x{x:06}.png"));
            let bytes = Cursor::new(fs::read(file).unwrap());
            let mut reader = png::Decoder::new(bytes).read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            reader.next_frame(&mut pixels).unwrap();
            assert!(pixels == want, "{name}: patch {patch}");
        }
    }
}
