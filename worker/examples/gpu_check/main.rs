//! What a GPU does with CLIP-DQA, for `tools/gpu-check`: are the numbers right, and how fast is it. Prints a table, writes a
//! JSON, and ends with 1 where a number that must hold does not.

mod parity;
mod speed;

use std::path::PathBuf;

use anyhow::{Context, bail};
use candle_core::Device;
use dqa_model::{Arithmetic, ClipWeights, Operations, Options, PromptMode, Prompts, Scorer, Views, device};
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

/// Lines of the table, and the same as JSON.
#[derive(Default)]
struct Findings {
    json: Map<String, Value>,
    failed: Vec<String>,
}

impl Findings {
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
    Options { views: Views::default(), arithmetic, device: device.clone(), operations: Operations::Own }
}

fn main() -> anyhow::Result<()> {
    let args = <Args as clap::Parser>::parse();
    std::fs::create_dir_all(&args.out).context("cannot make the folder for what is found")?;
    let gpu = device::open_cuda(args.ordinal)?;
    let mut findings = Findings::default();
    let name = device::description(&gpu).unwrap_or_default();
    println!("device");
    findings.note("device", "name", &name, json!(name));

    println!("kernels beside their twins: the largest difference, of what is rounding");
    for check in device::kernel_checks(&gpu)? {
        findings.at_most("kernels", &format!("{}: {}", check.kernel, check.shape), check.difference, check.allowed);
    }

    println!("parity");
    let model = Model::formula("vit-b-32")?;
    for kind in ["tiny", "vit-b-32"] {
        parity::goldens(&gpu, kind, &mut findings)?;
    }
    parity::company(&gpu, &model, &mut findings)?;
    parity::ranks(&gpu, &model, &mut findings)?;

    println!("speed");
    let ceilings = speed::ceilings(&gpu, &mut findings)?;
    for arithmetic in [Arithmetic::F16, Arithmetic::Bf16] {
        speed::passes(&gpu, &model, arithmetic, &ceilings, &mut findings)?;
    }
    speed::files(&gpu, &model, &args, &mut findings)?;
    speed::training(&gpu, &model, &mut findings)?;

    let path = args.out.join("gpu-check.json");
    let text = serde_json::to_string_pretty(&findings.json)?;
    std::fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    if !findings.failed.is_empty() {
        bail!("{} of what must hold does not:\n  {}", findings.failed.len(), findings.failed.join("\n  "));
    }
    println!("all that must hold does");
    Ok(())
}
