//! What a GPU does with CLIP-DQA, for `tools/gpu-check`: are the numbers right, and how fast is it. Prints a table,
//! writes a JSON, and ends with 1 where a number that must hold does not.

mod parity;
mod speed;

use std::path::PathBuf;

use anyhow::{Context, bail};
use candle_core::Device;
use dqa_model::{Arithmetic, ClipWeights, KernelSet, Options, PromptMode, Prompts, Scorer, Views, device};
use dqa_testkit::{Goldens, hf};
use serde_json::{Map, Value, json};

/// The options of `tools/gpu-check`.
#[derive(clap::Parser)]
struct Args {
    /// The device's number.
    #[arg(long, default_value_t = 0)]
    ordinal: usize,
    /// Where to write gpu-check.json, and the pictures that are scored.
    #[arg(long)]
    out: PathBuf,
    /// Pictures of each kind to score from files.
    #[arg(long, default_value_t = 300)]
    pictures: usize,
}

/// Lines of the table, and the same as JSON, which is written after each section: the next may end the process.
#[derive(Default)]
struct Findings {
    path: PathBuf,
    json: Map<String, Value>,
    failed: Vec<String>,
}

impl Findings {
    /// Runs a part of the check; its error is something that was found.
    ///
    /// # Errors
    /// Where the file cannot be written.
    fn section(&mut self, title: &str, part: impl FnOnce(&mut Findings) -> anyhow::Result<()>) -> anyhow::Result<()> {
        println!("{title}");
        if let Err(error) = part(self) {
            println!("  FAILS: {error:#}");
            self.failed.push(format!("{title}: {error:#}"));
        }
        self.json.insert("failed".to_owned(), json!(self.failed));
        let text = serde_json::to_string_pretty(&self.json)?;
        std::fs::write(&self.path, text + "\n").with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Something that was found.
    fn note(&mut self, section: &str, name: &str, shown: &str, value: Value) {
        println!("  {name:<58} {shown}");
        self.json.entry(section).or_insert_with(|| json!({}))[name] = value;
    }

    /// Something that must not be larger than this.
    fn at_most(&mut self, section: &str, name: &str, value: f64, limit: f64) {
        let holds = value <= limit;
        let verdict = if holds { "" } else { "   FAILS" };
        self.note(section, name, &format!("{value:.2e} of {limit:.0e}{verdict}"), json!(value));
        if !holds {
            self.failed.push(format!("{section}: {name}"));
        }
    }
}

/// A model of formula weights.
struct Model {
    weights: ClipWeights,
    prompts: PromptMode,
}

impl Model {
    fn formula(kind: &str) -> anyhow::Result<Model> {
        let dir = hf::cached(kind, &Goldens::load().salt);
        let weights = ClipWeights::open(&dir)?;
        let prompts = Prompts::open(&dir.join("prompts.safetensors"), weights.config())?;
        Ok(Model { weights, prompts: PromptMode::Learned(prompts) })
    }

    fn scorer(&self, options: &Options) -> anyhow::Result<Scorer> {
        Ok(Scorer::new(&self.weights, &self.prompts, options)?)
    }
}

fn options(device: &Device, arithmetic: Arithmetic) -> Options {
    Options { views: Views::default(), arithmetic, device: device.clone(), kernels: KernelSet::Native }
}

/// Checks every kernel. The file gets all shapes; the shape of each kernel that is closest to its tolerance is shown.
fn kernels(gpu: &Device, findings: &mut Findings) -> anyhow::Result<()> {
    let mut worst: Vec<device::KernelCheck> = Vec::new();
    let nearness = |check: &device::KernelCheck| check.difference / check.allowed.max(f64::MIN_POSITIVE);
    for check in device::kernel_checks(gpu)? {
        let of_shape = json!({ "difference": check.difference, "allowed": check.allowed });
        findings.json.entry("kernels by shape").or_insert_with(|| json!({}))
            [format!("{}: {}", check.kernel, check.shape)] = of_shape;
        match worst.iter_mut().find(|other| other.kernel == check.kernel) {
            Some(other) if nearness(other) >= nearness(&check) => {}
            Some(other) => *other = check,
            None => worst.push(check),
        }
    }
    for check in worst {
        findings.at_most("kernels", &format!("{}: {}", check.kernel, check.shape), check.difference, check.allowed);
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let args = <Args as clap::Parser>::parse();
    std::fs::create_dir_all(&args.out).context("cannot create the folder of the findings")?;
    let gpu = device::open_cuda(args.ordinal)?;
    let mut findings = Findings { path: args.out.join("gpu-check.json"), ..Findings::default() };
    let model = Model::formula("vit-b-32")?;
    findings.section("device", |found| {
        let name = device::description(&gpu).unwrap_or_default();
        found.note("device", "name", &name, json!(name));
        Ok(())
    })?;
    findings.section("kernels and their references: the largest difference, and the allowed one", |found| {
        kernels(&gpu, found)
    })?;
    for kind in ["tiny", "vit-b-32"] {
        for tolerance in parity::TOLERANCES {
            let title = format!("parity of {kind} in {}", tolerance.0);
            findings.section(&title, |found| parity::goldens(&gpu, kind, tolerance, found))?;
        }
    }
    findings.section("parity in batches of other sizes", |found| parity::batch_invariance(&gpu, &model, found))?;
    findings.section("parity of ranks", |found| parity::rank_parity(&gpu, &model, found))?;
    findings.section("forward passes", |found| {
        let ceilings = speed::ceilings(&gpu, found)?;
        speed::passes(&gpu, &model, Arithmetic::F16, &ceilings, found)?;
        speed::passes(&gpu, &model, Arithmetic::Bf16, &ceilings, found)
    })?;
    findings.section("from files to scores", |found| speed::files(&gpu, &model, &args, found))?;
    findings.section("training", |found| speed::training(&gpu, &model, found))?;
    if !findings.failed.is_empty() {
        bail!("{} requirements are not met:\n  {}", findings.failed.len(), findings.failed.join("\n  "));
    }
    println!("all requirements are met");
    Ok(())
}
