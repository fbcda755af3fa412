//! The formula gives the weights that the reference recorded.

use dqa_testkit::spec::{clip_spec, prompt_spec};
use dqa_testkit::{ClipShape, Goldens, TensorSpec, formula};

/// The formula is exact in f32, except that the last bit of `powf` may change a scale.
const TOLERANCE: f64 = 1e-7;

fn check(salt: &str, spec: &[TensorSpec], name: &str, golden: &dqa_testkit::golden::Sampled) {
    let spec = spec.iter().find(|tensor| tensor.name == name).unwrap_or_else(|| panic!("no tensor {name}"));
    let tensor = formula::tensor(salt, spec);
    golden.check(name, &tensor.shape, &tensor.values, TOLERANCE);
}

#[test]
fn formula_weights_are_the_references() {
    let goldens = Goldens::load();
    for (kind, model) in &goldens.models {
        let shape = ClipShape::from_kind(kind);
        model.check_shape(&shape);
        for (name, golden) in &model.weights {
            check(&goldens.salt, &clip_spec(&shape), name, golden);
        }
        for (name, golden) in &model.prompts {
            check(&goldens.salt, &prompt_spec(&shape.prompts()), name, golden);
        }
    }
}
