//! Models from the Hugging Face hub, tested against a mock: downloads under faults, and the program with a model from the
//! hub.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dqa_engine::hub::{HubError, HubSettings, HubToken, Refusal, Snapshot, snapshot_with};
use dqa_pipelines::Retryable;
use dqa_testkit::ClipShape;
use dqa_testkit::hf::{HfDir, config_json};
use dqa_testkit::torch::{Py, TorchSave};
use dqa_tests::hub::{Access, Fault, Hub, Model, Request, sha256};
use dqa_tests::{CommandOutput, TestDir};

const NAME: &str = "hf:openai/clip-vit-base-patch32";
const REPO: &str = "openai/clip-vit-base-patch32";

/// A content of this length, in which no two parts are equal.
fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn files(named: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
    named.iter().map(|(name, content)| ((*name).to_owned(), content.to_vec())).collect()
}

const CONFIG: &[u8] = br#"{"model_type": "clip"}"#;

/// What is on `main` of openai/clip-vit-base-patch32, with other contents.
fn clip_vit_files(weights: &[u8]) -> Vec<(String, Vec<u8>)> {
    files(&[
        (".gitattributes", b"*.bin filter=lfs"),
        ("README.md", b"# CLIP"),
        ("config.json", CONFIG),
        ("flax_model.msgpack", b"flax"),
        ("merges.txt", b"#version"),
        ("preprocessor_config.json", b"{}"),
        ("pytorch_model.bin", weights),
        ("special_tokens_map.json", b"{}"),
        ("tf_model.h5", b"tensorflow"),
        ("tokenizer.json", b"{}"),
        ("tokenizer_config.json", b"{}"),
        ("vocab.json", b"{}"),
    ])
}

/// A hub with one model, and a cache.
struct Download {
    hub: Hub,
    home: tempfile::TempDir,
    settings: HubSettings,
}

impl Download {
    fn new(model: Model) -> Download {
        let hub = Hub::start();
        hub.add_model(REPO, model);
        let home = tempfile::tempdir().unwrap();
        let settings = HubSettings {
            endpoint: hub.endpoint().parse().unwrap(),
            cache: home.path().to_owned(),
            token: None,
            offline: None,
            idle_max: Duration::from_secs(20),
            initial_backoff: Duration::from_millis(1),
        };
        Download { hub, home, settings }
    }

    fn get(&self, model: &str) -> Result<Snapshot, HubError> {
        snapshot_with(&self.settings, model, &|_| Ok(()))
    }

    fn token(&mut self, token: &str) {
        self.settings.token = HubToken::new(token, "HF_TOKEN").unwrap();
    }

    /// Below the repository's folder in the cache.
    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join("models--openai--clip-vit-base-patch32").join(name)
    }

    /// The files beside the blobs that are not whole.
    fn incomplete_files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("blobs")).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".incomplete")).collect()
    }

    /// Requests for bodies of this file, from the hub or the storage server.
    fn requests_for(&self, content: &[u8]) -> Vec<Request> {
        let digest = sha256(content);
        let mut requests = self.hub.requests();
        requests.retain(|request| request.path.contains(&digest));
        requests
    }
}

#[track_caller]
fn read(snapshot: &Snapshot, file: &str) -> Vec<u8> {
    fs::read(snapshot.folder.join(file)).unwrap()
}

#[test]
fn only_the_needed_files_are_downloaded_and_only_once() {
    let weights = content(1, 100_000);
    let download = Download::new(Model::new(clip_vit_files(&weights)));
    let snapshot = download.get(NAME).unwrap();
    let commit = download.hub.commit(REPO, "main");
    assert_eq!((snapshot.commit.as_str(), snapshot.revision.as_str()), (commit.as_str(), "main"));
    assert_eq!(snapshot.files, ["config.json", "pytorch_model.bin"]);
    assert_eq!(read(&snapshot, "pytorch_model.bin"), weights);
    let paths: Vec<String> = download.hub.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(
        paths,
        [
            format!("/api/models/{REPO}/revision/main"),
            format!("/{REPO}/resolve/{commit}/config.json"),
            format!("/{REPO}/resolve/{commit}/pytorch_model.bin"),
            format!("/blob/{}", sha256(&weights)),
        ]
    );
    // The layout of `huggingface_hub`.
    assert_eq!(fs::read_to_string(download.path("refs/main")).unwrap(), commit);
    let link = fs::read_link(download.path("snapshots").join(&commit).join("pytorch_model.bin")).unwrap();
    assert_eq!(link, Path::new("../../blobs").join(sha256(&weights)));
    assert_eq!(download.incomplete_files(), [""; 0]);

    assert_eq!(download.get(NAME).unwrap(), snapshot);
    assert_eq!(download.hub.requests(), [], "what is in the cache is not asked for");
    download.hub.stop();
    assert_eq!(download.get(&format!("{NAME}@{commit}")).unwrap().folder, snapshot.folder);
}

#[test]
fn safetensors_are_taken_and_the_other_form_is_not() {
    let mut both = clip_vit_files(b"torch");
    both.extend(files(&[("model.safetensors", b"safetensors")]));
    let download = Download::new(Model::new(clip_vit_files(b"torch")).with_revision("refs/pr/15", both));
    let snapshot = download.get(&format!("{NAME}@refs/pr/15")).unwrap();
    assert_eq!(snapshot.files, ["config.json", "model.safetensors"]);
    assert!(!snapshot.folder.join("pytorch_model.bin").exists());
    assert!(download.requests_for(b"torch").is_empty());
    assert_eq!(fs::read_to_string(download.path("refs/refs/pr/15")).unwrap(), snapshot.commit);
    assert_eq!(download.get(NAME).unwrap().files, ["config.json", "pytorch_model.bin"], "main is another revision");
}

#[test]
fn shards_come_with_their_index_and_existing_ones_stay() {
    let index =
        br#"{"weight_map": {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}}"#;
    let shards = files(&[
        ("config.json", CONFIG),
        ("pytorch_model.bin.index.json", index),
        ("pytorch_model-00001-of-00002.bin", b"one"),
        ("pytorch_model-00002-of-00002.bin", b"two"),
    ]);
    let download = Download::new(Model::new(shards.clone()));
    let snapshot = download.get(NAME).unwrap();
    assert_eq!(snapshot.files[2..], ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]);
    // A part of the model is lost, and its blob: that part alone comes again.
    fs::remove_file(download.path("blobs").join(sha256(b"two"))).unwrap();
    download.hub.requests();
    download.get(NAME).unwrap();
    assert_eq!(read(&snapshot, "pytorch_model-00002-of-00002.bin"), b"two");
    assert!(download.hub.requests().iter().all(|request| !request.path.contains(&sha256(b"one"))));

    let lacking = Download::new(Model::new(shards[..3].to_vec()));
    let error = lacking.get(NAME).unwrap_err().to_string();
    assert!(error.contains("has no `pytorch_model-00002-of-00002.bin`"), "{error}");
}

#[test]
fn open_clips_files_are_a_model_too() {
    let laion = files(&[
        ("README.md", b"# CLIP"),
        ("open_clip_config.json", b"{}"),
        ("open_clip_pytorch_model.bin", b"torch"),
        ("open_clip_model.safetensors", b"safetensors"),
    ]);
    let download = Download::new(Model::new(laion));
    assert_eq!(download.get(NAME).unwrap().files, ["open_clip_config.json", "open_clip_model.safetensors"]);
    assert!(download.requests_for(b"torch").is_empty());
}

#[test]
fn a_repository_without_a_model_is_refused_with_its_files() {
    let diffusion = files(&[("model_index.json", b"{}"), ("unet/diffusion_pytorch_model.bin", b"x")]);
    let download = Download::new(Model::new(diffusion));
    let error = download.get(NAME).unwrap_err();
    assert!(!error.is_retryable());
    let error = error.to_string();
    assert!(error.contains("it has model_index.json, unet/diffusion_pytorch_model.bin, and needs"), "{error}");
    assert!(!download.path("refs").exists());
}

#[test]
fn an_interrupted_download_resumes() {
    let weights = content(2, 300_000);
    let download = Download::new(Model::new(clip_vit_files(&weights)));
    download.hub.inject_fault("/blob/", Fault::Disconnect(100_000));
    download.hub.inject_fault("/blob/", Fault::Disconnect(100_000));
    let snapshot = download.get(NAME).unwrap();
    assert_eq!(read(&snapshot, "pytorch_model.bin"), weights);
    let ranges: Vec<_> = download.requests_for(&weights).into_iter().map(|request| request.range).collect();
    let ranges: Vec<_> = ranges.iter().map(Option::as_deref).collect();
    assert_eq!(ranges, [None, Some("bytes=100000-"), Some("bytes=200000-")]);
}

#[test]
fn a_later_process_resumes_a_partial_download() {
    let weights = content(3, 300_000);
    let download = Download::new(Model::new(clip_vit_files(&weights)));
    fs::create_dir_all(download.path("blobs")).unwrap();
    // As the Python library leaves it too.
    let partial = download.path("blobs").join(format!("{}.incomplete", sha256(&weights)));
    fs::write(&partial, &weights[..250_000]).unwrap();
    let snapshot = download.get(NAME).unwrap();
    assert_eq!(read(&snapshot, "pytorch_model.bin"), weights);
    assert_eq!(download.requests_for(&weights)[0].range.as_deref(), Some("bytes=250000-"));
    assert!(!partial.exists());
}

#[test]
fn a_partial_file_of_other_content_is_discarded() {
    let weights = content(4, 50_000);
    for part in [content(5, 20_000), content(5, 50_000), content(5, 60_000)] {
        let download = Download::new(Model::new(clip_vit_files(&weights)));
        fs::create_dir_all(download.path("blobs")).unwrap();
        fs::write(download.path("blobs").join(format!("{}.incomplete", sha256(&weights))), part).unwrap();
        assert_eq!(read(&download.get(NAME).unwrap(), "pytorch_model.bin"), weights);
        assert_eq!(download.incomplete_files(), [""; 0]);
    }
}

#[test]
fn a_server_without_ranges_restarts_the_download() {
    let weights = content(6, 200_000);
    let download = Download::new(Model::new(clip_vit_files(&weights)));
    download.hub.inject_fault("/blob/", Fault::Disconnect(100_000));
    download.hub.inject_fault("/blob/", Fault::IgnoreRange);
    assert_eq!(read(&download.get(NAME).unwrap(), "pytorch_model.bin"), weights);
}

#[test]
fn a_corrupted_file_never_gets_into_the_cache() {
    let weights = content(7, 50_000);
    let download = Download::new(Model::new(clip_vit_files(&weights)));
    download.hub.inject_fault("/blob/", Fault::Corrupt);
    assert_eq!(read(&download.get(NAME).unwrap(), "pytorch_model.bin"), weights, "the second time it is right");

    for fault in [Fault::Corrupt, Fault::Extend] {
        let download = Download::new(Model::new(clip_vit_files(&weights)));
        download.hub.inject_fault("/blob/", fault.clone());
        download.hub.inject_fault("/blob/", fault);
        let error = download.get(NAME).unwrap_err();
        assert!(matches!(error, HubError::Corrupt { .. }), "{error}");
        assert!(error.is_retryable());
        assert!(!download.path("blobs").join(sha256(&weights)).exists());
        assert_eq!(download.incomplete_files(), [""; 0]);
        assert!(!download.path("refs/main").exists());
    }
}

#[test]
fn a_truncated_file_is_resumed() {
    let weights = content(8, 50_000);
    let download = Download::new(Model::new(clip_vit_files(&weights)));
    download.hub.inject_fault("/blob/", Fault::Truncate(20_000));
    assert_eq!(read(&download.get(NAME).unwrap(), "pytorch_model.bin"), weights);
    assert_eq!(download.requests_for(&weights)[1].range.as_deref(), Some("bytes=20000-"));
}

#[test]
fn a_busy_hub_is_retried() {
    let download = Download::new(Model::new(clip_vit_files(b"torch")));
    download.hub.inject_fault("/api/", Fault::Status(429, &[("Retry-After", "0")]));
    download.hub.inject_fault("/api/", Fault::Status(503, &[]));
    download.hub.inject_fault("/config.json", Fault::Status(500, &[]));
    download.hub.inject_fault("/blob/", Fault::Status(403, &[]));
    download.get(NAME).unwrap();
    let lists = download.hub.requests().into_iter().filter(|request| request.path.starts_with("/api/")).count();
    assert_eq!(lists, 3);
}

#[test]
fn retries_of_a_busy_hub_end() {
    let download = Download::new(Model::new(clip_vit_files(b"torch")));
    for _ in 0..20 {
        download.hub.inject_fault("/api/", Fault::Status(503, &[]));
    }
    let error = download.get(NAME).unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("answers with the status 503"), "{error}");
    assert_eq!(download.hub.requests().len(), 5);

    let download = Download::new(Model::new(clip_vit_files(b"torch")));
    download.hub.inject_fault("/api/", Fault::Status(429, &[("Retry-After", "86400")]));
    let error = download.get(NAME).unwrap_err().to_string();
    assert!(error.ends_with("and asks to come back in 86400 s"), "{error}");
    assert_eq!(download.hub.requests().len(), 1, "a day is not waited for");
}

#[test]
fn a_stalled_connection_is_abandoned() {
    let mut download = Download::new(Model::new(clip_vit_files(b"torch")));
    download.settings.idle_max = Duration::from_millis(300);
    download.hub.inject_fault("/blob/", Fault::Stall(Duration::from_secs(60)));
    download.get(NAME).unwrap();
}

#[test]
fn retries_of_a_broken_connection_end() {
    let weights = content(9, 50_000);
    let download = Download::new(Model::new(clip_vit_files(&weights)));
    for _ in 0..20 {
        download.hub.inject_fault("/blob/", Fault::Disconnect(0));
    }
    let error = download.get(NAME).unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }), "{error}");
    let shown = format!("{:#}", anyhow::Error::from(error));
    assert!(!shown.contains("Signature"), "an address that is signed is not shown: {shown}");
    assert_eq!(download.requests_for(&weights).len(), 5);
}

#[test]
fn the_token_is_sent_to_the_hub_only() {
    let mut download =
        Download::new(Model { access: Access::Private("hf_right"), ..Model::new(clip_vit_files(b"torch")) });
    download.token("hf_right");
    download.get(NAME).unwrap();
    let requests = download.hub.requests();
    assert!(requests.iter().any(|request| request.is_storage));
    for request in requests {
        let expected = (!request.is_storage).then_some("Bearer hf_right");
        assert_eq!(request.authorization.as_deref(), expected, "{}", request.path);
    }
}

#[test]
fn a_redirect_may_be_relative() {
    let download = Download::new(Model { relative: true, ..Model::new(clip_vit_files(b"torch")) });
    download.hub.rename("openai/old", REPO);
    let snapshot = download.get("hf:openai/old").unwrap();
    assert_eq!(read(&snapshot, "pytorch_model.bin"), b"torch");
    let link = fs::read_link(snapshot.folder.join("pytorch_model.bin")).unwrap();
    assert!(link.ends_with(sha256(b"torch")), "it is checked by the redirect's digest: {}", link.display());
    assert!(snapshot.folder.starts_with(download.home.path().join("models--openai--old")), "as it was asked for");
}

#[test]
fn a_refusal_names_its_reason() {
    let refusal = |download: &Download, model: &str| match download.get(model).unwrap_err() {
        HubError::Refused { why, .. } => *why,
        error => panic!("{error}"),
    };
    let mut download = Download::new(Model::new(clip_vit_files(b"torch")));
    assert_eq!(refusal(&download, "hf:openai/none"), Refusal::Repository { token: None });
    assert_eq!(refusal(&download, &format!("{NAME}@v9")), Refusal::Revision);
    download.token("hf_other");
    let token = Some("HF_TOKEN".to_owned());
    assert_eq!(refusal(&download, "hf:openai/none"), Refusal::Repository { token: token.clone() });
    download.token("hf_expired");
    assert_eq!(refusal(&download, NAME), Refusal::Token { token: token.clone() });

    let mut download =
        Download::new(Model { access: Access::Gated("hf_right"), ..Model::new(clip_vit_files(b"torch")) });
    assert_eq!(refusal(&download, NAME), Refusal::Gated { token: None });
    download.token("hf_other");
    assert_eq!(refusal(&download, NAME), Refusal::Gated { token: token.clone() });
    download.token("hf_right");
    download.get(NAME).unwrap();

    let download = Download::new(Model::new(clip_vit_files(b"torch")));
    download
        .hub
        .inject_fault("/api/", Fault::Status(403, &[("X-Error-Message", "Your token lacks the right to read")]));
    let output = download.get(NAME).unwrap_err().to_string();
    assert!(output.ends_with("forbidden: Your token lacks the right to read"), "{output}");
}

#[test]
fn a_server_that_is_not_a_hub_is_reported() {
    let download = Download::new(Model::new(clip_vit_files(b"torch")));
    download.hub.inject_fault("/api/", Fault::HtmlPage);
    let error = download.get(NAME).unwrap_err();
    assert!(error.to_string().contains("answers with a web page: it is not a Hugging Face hub"), "{error}");
    download.hub.inject_fault("/config.json", Fault::HtmlPage);
    let error = download.get(NAME).unwrap_err();
    assert!(error.to_string().contains("answers with a file without an ETag"), "{error}");
    assert!(!download.path("blobs").exists());
}

#[test]
fn an_unreachable_hub_is_reported() {
    let download = Download::new(Model::new(clip_vit_files(b"torch")));
    download.hub.stop();
    let error = download.get(NAME).unwrap_err();
    assert!(
        error.is_retryable() && error.to_string().starts_with("cannot get the list of files from the hub http://127"),
        "{error}"
    );
}

#[test]
fn concurrent_downloads_do_not_interfere() {
    let weights = content(10, 2_000_000);
    let download = Download::new(Model::new(clip_vit_files(&weights)));
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| download.get(NAME).unwrap())).collect();
        for one in all {
            assert_eq!(read(&one.join().unwrap(), "pytorch_model.bin"), weights);
        }
    });
    assert_eq!(download.incomplete_files(), [""; 0]);
    assert_eq!(
        download.requests_for(&weights).iter().filter(|request| request.range.is_none()).count(),
        1,
        "it is sent once"
    );
}

#[test]
fn the_weights_of_a_configuration_that_is_refused_are_not_downloaded() {
    let download = Download::new(Model::new(clip_vit_files(b"torch")));
    let refuse = |path: &Path| dqa_model::ClipConfig::parse("{}", path).map(drop);
    let error = snapshot_with(&download.settings, NAME, &refuse).unwrap_err();
    assert!(matches!(error, HubError::Config(_)), "{error}");
    assert!(download.requests_for(b"torch").is_empty());
}

#[test]
fn a_new_commit_is_another_snapshot() {
    let download = Download::new(Model::new(clip_vit_files(b"old")));
    let old = download.get(NAME).unwrap();
    download.hub.add_model(REPO, Model::new(clip_vit_files(b"new")));
    assert_eq!(download.get(NAME).unwrap(), old, "what is complete is not asked for");
    fs::remove_file(download.path("refs/main")).unwrap();
    let new = download.get(NAME).unwrap();
    assert_eq!((read(&old, "pytorch_model.bin"), read(&new, "pytorch_model.bin")), (b"old".to_vec(), b"new".to_vec()));
    let configs: BTreeMap<_, _> =
        [&old, &new].map(|snapshot| (fs::read_link(snapshot.folder.join("config.json")).unwrap(), ())).into();
    assert_eq!(configs.len(), 1, "what is the same is there once");
}

/// The model of [`TestDir`] as openai/clip-vit-base-patch32 has it: a PyTorch checkpoint on `main`, and safetensors in a conversion.
fn clip_vit_repository(dir: &TestDir) -> Model {
    let shape = ClipShape::from_kind("tiny");
    let mut save = TorchSave::default();
    let weights = HfDir { salt: "system", shape, shards: 1 }.weights();
    let mut tensors = Vec::new();
    for tensor in weights {
        let value = save.floats(&tensor.shape, &tensor.values);
        tensors.push((tensor.name, value));
    }
    let mut main = clip_vit_files(&save.archive(&Py::Ordered(tensors)));
    main.retain(|(name, _)| name != "config.json");
    main.push(("config.json".to_owned(), config_json(&shape).into_bytes()));
    let mut conversion = main.clone();
    conversion.push(("model.safetensors".to_owned(), fs::read(dir.path("model/model.safetensors")).unwrap()));
    Model::new(main).with_revision("refs/pr/15", conversion)
}

/// The program with this hub, a cache in the place's folder, and no other setting of the hub.
fn run(dir: &TestDir, hub: &Hub, variables: &[(&str, &str)], arguments: &[&str]) -> CommandOutput {
    let mut command = dir.command(arguments);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_ascii_lowercase();
        if text.starts_with("hf_") || text.starts_with("hugging") || text.ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command.env("HF_ENDPOINT", hub.endpoint()).env("HF_HOME", dir.path("hf")).envs(variables.iter().copied());
    CommandOutput::new(&command.output().unwrap())
}

const SUBMIT: [&str; 7] =
    ["submit", "--datasets", "haze.toml", "--model", NAME, "--prompts", "model/prompts.safetensors"];

#[test]
fn a_run_loads_its_model_from_the_hub_and_then_from_the_cache() {
    let (dir, hub) = (TestDir::new(env!("CARGO_BIN_EXE_coord")), Hub::start());
    dir.haze(&["dcp"]);
    hub.add_model(REPO, clip_vit_repository(&dir));
    hub.inject_fault("/blob/", Fault::Disconnect(100_000));
    hub.inject_fault("/api/", Fault::Status(429, &[("Retry-After", "0")]));
    let output = run(&dir, &hub, &[], &SUBMIT).exits_with(0);
    assert!(
        output.stderr.contains("answers with the status 429") && output.stderr.contains("trying again in 0.0 s"),
        "{}",
        output.stderr
    );
    assert!(
        output.stderr.contains(&format!("hub: {REPO} at main is commit {}", hub.commit(REPO, "main"))),
        "{}",
        output.stderr
    );
    let scores = dir.scores();
    assert_eq!(scores.len(), 3);
    let paths: Vec<String> = hub.requests().into_iter().map(|request| request.path).collect();
    for never in ["tf_model", "flax", "README", "tokenizer", "merges", "vocab", "safetensors"] {
        assert!(paths.iter().all(|path| !path.contains(never)), "{never}: {paths:?}");
    }

    // The same weights in a folder are the same model: what is scored is scored.
    let local = dir.run(&dir.submit("haze.toml", &[])).exits_with(0);
    assert!(local.stderr.contains("nothing to score"), "{}", local.stderr);
    let converted = format!("{NAME}@refs/pr/15");
    let other = [&SUBMIT[..4], &[&converted], &SUBMIT[5..]].concat();
    let output = run(&dir, &hub, &[], &other).exits_with(0);
    assert!(output.stderr.contains("nothing to score"), "{}", output.stderr);

    hub.stop();
    for variables in [&[("DQA_STORE", "second")][..], &[("DQA_STORE", "third"), ("HF_HUB_OFFLINE", "1")]] {
        run(&dir, &hub, variables, &SUBMIT).exits_with(0);
    }
    let empty = [("HF_HUB_OFFLINE", "1"), ("HF_HUB_CACHE", "empty")];
    let output = run(&dir, &hub, &empty, &SUBMIT).exits_with(2);
    assert!(output.stderr.contains("dqa is offline (HF_HUB_OFFLINE)"), "{}", output.stderr);
    let output = run(&dir, &hub, &[("HF_HUB_CACHE", "empty")], &SUBMIT).exits_with(2);
    assert!(output.stderr.contains("cannot get the list of files from the hub http://127.0.0.1"), "{}", output.stderr);
}

#[test]
fn model_show_describes_a_model() {
    let (dir, hub) = (TestDir::new(env!("CARGO_BIN_EXE_coord")), Hub::start());
    hub.add_model(REPO, clip_vit_repository(&dir));
    let prompts = "model/prompts.safetensors";
    let output = run(&dir, &hub, &[], &["model", "show", NAME, "--prompts", prompts]).exits_with(0);
    let commit = hub.commit(REPO, "main");
    for line in ["form          Hugging Face PyTorch checkpoint", &format!("revision      main, commit {commit}")] {
        assert!(output.stdout.contains(line), "{line}: {}", output.stdout);
    }
    let json = |model: &str| {
        let output =
            run(&dir, &hub, &[], &["model", "show", model, "--prompts", prompts, "--format", "json"]).exits_with(0);
        serde_json::from_str::<serde_json::Value>(&output.stdout).unwrap()
    };
    let (of_hub, of_folder, of_file) = (json(NAME), json("model"), json("model/model.safetensors"));
    assert_eq!(of_hub["commit"], commit.as_str());
    assert_eq!(of_hub["files"][1]["name"], "pytorch_model.bin");
    assert_eq!((&of_folder["from"], &of_folder["form"]), (&"path".into(), &"Hugging Face safetensors".into()));
    for other in [of_folder, of_file] {
        for key in ["weights_digest", "tensors", "parameters", "vision", "text"] {
            assert_eq!(of_hub[key], other[key], "{key}");
        }
        assert_eq!(of_hub["prompts"]["fingerprint"], other["prompts"]["fingerprint"]);
    }
    // As a run shows it.
    dir.haze(&["dcp"]);
    let submitted = dir.run(&dir.submit("haze.toml", &[])).exits_with(0);
    let fingerprint = of_hub["prompts"]["fingerprint"].as_str().unwrap();
    assert!(submitted.stderr.contains(&fingerprint[..12]), "{}", submitted.stderr);
}

#[test]
fn model_show_reports_defects() {
    let dir = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    let output = dir.run(&["model", "show", "model", "--prompts", "dqa:small"]).exits_with(1);
    assert!(output.stdout.contains("they cannot be used with this model: "), "{}", output.stdout);
    dir.file("clone/config.json", &fs::read(dir.path("model/config.json")).unwrap());
    dir.file("clone/model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 605157884\n");
    let pointer = "error: cannot open the model clone\n  caused by: `clone/model.safetensors` is a Git LFS pointer that stands for \
                   a file of 605157884 bytes, not that file, and not a model's weights: run `git lfs pull` in the clone \
                   that it is in\n";
    assert_eq!(dir.run(&["model", "show", "clone"]).exits_with(2).stderr, pointer);
    dir.haze(&["dcp"]);
    let submit = ["submit", "--datasets", "haze.toml", "--model", "clone", "--handcrafted"];
    assert_eq!(dir.run(&submit).exits_with(2).stderr, pointer, "the same as of a run");
    let output = dir.run(&["model", "show", "openai/clip-vit-base-patch32"]).exits_with(2);
    assert!(
        output.stderr.contains("the hub's model is written `hf:openai/clip-vit-base-patch32`"),
        "{}",
        output.stderr
    );
}
