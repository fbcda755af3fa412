//! Models from the hub: against a server that answers as the hub does, the download with what goes wrong on its way, and the
//! program with a model that it takes from there.

#![allow(clippy::unwrap_used)] // helpers too

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dqa_engine::hub::{HubError, HubSettings, Refusal, Snapshot, Token, snapshot_with};
use dqa_pipelines::Retryable;
use dqa_testkit::ClipShape;
use dqa_testkit::hf::{HfDir, config_json};
use dqa_testkit::torch::{Py, TorchSave};
use dqa_tests::hub::{Access, Fault, Hub, Model, Request, sha256};
use dqa_tests::{Said, TestDir};

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
fn openai(weights: &[u8]) -> Vec<(String, Vec<u8>)> {
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
        hub.put(REPO, model);
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
        self.settings.token = Token::new(token, "HF_TOKEN").unwrap();
    }

    /// Below the repository's folder in the cache.
    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join("models--openai--clip-vit-base-patch32").join(name)
    }

    /// The files beside the blobs that are not whole.
    fn incomplete(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("blobs")).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".incomplete")).collect()
    }

    /// Requests for bodies of this file, from the hub or the storage server.
    fn asked(&self, content: &[u8]) -> Vec<Request> {
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
fn what_the_real_repository_has_is_downloaded_once_and_nothing_else() {
    let weights = content(1, 100_000);
    let place = Download::new(Model::of(openai(&weights)));
    let snapshot = place.get(NAME).unwrap();
    let commit = place.hub.commit(REPO, "main");
    assert_eq!((snapshot.commit.as_str(), snapshot.revision.as_str()), (commit.as_str(), "main"));
    assert_eq!(snapshot.files, ["config.json", "pytorch_model.bin"]);
    assert_eq!(read(&snapshot, "pytorch_model.bin"), weights);
    let paths: Vec<String> = place.hub.requests().into_iter().map(|request| request.path).collect();
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
    assert_eq!(fs::read_to_string(place.path("refs/main")).unwrap(), commit);
    let link = fs::read_link(place.path("snapshots").join(&commit).join("pytorch_model.bin")).unwrap();
    assert_eq!(link, Path::new("../../blobs").join(sha256(&weights)));
    assert_eq!(place.incomplete(), [""; 0]);

    assert_eq!(place.get(NAME).unwrap(), snapshot);
    assert_eq!(place.hub.requests(), [], "what is in the cache is not asked for");
    place.hub.stop();
    assert_eq!(place.get(&format!("{NAME}@{commit}")).unwrap().folder, snapshot.folder);
}

#[test]
fn safetensors_are_taken_and_the_other_form_is_not() {
    let mut both = openai(b"torch");
    both.extend(files(&[("model.safetensors", b"safetensors")]));
    let place = Download::new(Model::of(openai(b"torch")).with("refs/pr/15", both));
    let snapshot = place.get(&format!("{NAME}@refs/pr/15")).unwrap();
    assert_eq!(snapshot.files, ["config.json", "model.safetensors"]);
    assert!(!snapshot.folder.join("pytorch_model.bin").exists());
    assert!(place.asked(b"torch").is_empty());
    assert_eq!(fs::read_to_string(place.path("refs/refs/pr/15")).unwrap(), snapshot.commit);
    assert_eq!(place.get(NAME).unwrap().files, ["config.json", "pytorch_model.bin"], "main is another revision");
}

#[test]
fn shards_come_with_their_index_and_what_is_there_stays() {
    let index =
        br#"{"weight_map": {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}}"#;
    let shards = files(&[
        ("config.json", CONFIG),
        ("pytorch_model.bin.index.json", index),
        ("pytorch_model-00001-of-00002.bin", b"one"),
        ("pytorch_model-00002-of-00002.bin", b"two"),
    ]);
    let place = Download::new(Model::of(shards.clone()));
    let snapshot = place.get(NAME).unwrap();
    assert_eq!(snapshot.files[2..], ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]);
    // A part of the model is lost, and its blob: that part alone comes again.
    fs::remove_file(place.path("blobs").join(sha256(b"two"))).unwrap();
    place.hub.requests();
    place.get(NAME).unwrap();
    assert_eq!(read(&snapshot, "pytorch_model-00002-of-00002.bin"), b"two");
    assert!(place.hub.requests().iter().all(|request| !request.path.contains(&sha256(b"one"))));

    let lacking = Download::new(Model::of(shards[..3].to_vec()));
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
    let place = Download::new(Model::of(laion));
    assert_eq!(place.get(NAME).unwrap().files, ["open_clip_config.json", "open_clip_model.safetensors"]);
    assert!(place.asked(b"torch").is_empty());
}

#[test]
fn a_repository_without_a_model_is_told_with_what_it_has() {
    let diffusion = files(&[("model_index.json", b"{}"), ("unet/diffusion_pytorch_model.bin", b"x")]);
    let place = Download::new(Model::of(diffusion));
    let error = place.get(NAME).unwrap_err();
    assert!(!error.is_retryable());
    let error = error.to_string();
    assert!(error.contains("it has model_index.json, unet/diffusion_pytorch_model.bin, and needs"), "{error}");
    assert!(!place.path("refs").exists());
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_was() {
    let weights = content(2, 300_000);
    let place = Download::new(Model::of(openai(&weights)));
    place.hub.fault("/blob/", Fault::Cut(100_000));
    place.hub.fault("/blob/", Fault::Cut(100_000));
    let snapshot = place.get(NAME).unwrap();
    assert_eq!(read(&snapshot, "pytorch_model.bin"), weights);
    let ranges: Vec<_> = place.asked(&weights).into_iter().map(|request| request.range).collect();
    let ranges: Vec<_> = ranges.iter().map(Option::as_deref).collect();
    assert_eq!(ranges, [None, Some("bytes=100000-"), Some("bytes=200000-")]);
}

#[test]
fn a_later_process_goes_on_where_an_earlier_one_ended() {
    let weights = content(3, 300_000);
    let place = Download::new(Model::of(openai(&weights)));
    fs::create_dir_all(place.path("blobs")).unwrap();
    // As the Python library leaves it too.
    let partial = place.path("blobs").join(format!("{}.incomplete", sha256(&weights)));
    fs::write(&partial, &weights[..250_000]).unwrap();
    let snapshot = place.get(NAME).unwrap();
    assert_eq!(read(&snapshot, "pytorch_model.bin"), weights);
    assert_eq!(place.asked(&weights)[0].range.as_deref(), Some("bytes=250000-"));
    assert!(!partial.exists());
}

#[test]
fn a_part_that_is_not_of_the_file_is_thrown_away() {
    let weights = content(4, 50_000);
    for part in [content(5, 20_000), content(5, 50_000), content(5, 60_000)] {
        let place = Download::new(Model::of(openai(&weights)));
        fs::create_dir_all(place.path("blobs")).unwrap();
        fs::write(place.path("blobs").join(format!("{}.incomplete", sha256(&weights))), part).unwrap();
        assert_eq!(read(&place.get(NAME).unwrap(), "pytorch_model.bin"), weights);
        assert_eq!(place.incomplete(), [""; 0]);
    }
}

#[test]
fn a_server_without_ranges_starts_anew() {
    let weights = content(6, 200_000);
    let place = Download::new(Model::of(openai(&weights)));
    place.hub.fault("/blob/", Fault::Cut(100_000));
    place.hub.fault("/blob/", Fault::NoRange);
    assert_eq!(read(&place.get(NAME).unwrap(), "pytorch_model.bin"), weights);
}

#[test]
fn a_corrupted_file_never_gets_into_the_cache() {
    let weights = content(7, 50_000);
    let place = Download::new(Model::of(openai(&weights)));
    place.hub.fault("/blob/", Fault::Corrupt);
    assert_eq!(read(&place.get(NAME).unwrap(), "pytorch_model.bin"), weights, "the second time it is right");

    for fault in [Fault::Corrupt, Fault::Long] {
        let place = Download::new(Model::of(openai(&weights)));
        place.hub.fault("/blob/", fault.clone());
        place.hub.fault("/blob/", fault);
        let error = place.get(NAME).unwrap_err();
        assert!(matches!(error, HubError::Corrupt { .. }), "{error}");
        assert!(error.is_retryable());
        assert!(!place.path("blobs").join(sha256(&weights)).exists());
        assert_eq!(place.incomplete(), [""; 0]);
        assert!(!place.path("refs/main").exists());
    }
}

#[test]
fn a_file_that_ends_early_is_gone_on_with() {
    let weights = content(8, 50_000);
    let place = Download::new(Model::of(openai(&weights)));
    place.hub.fault("/blob/", Fault::Short(20_000));
    assert_eq!(read(&place.get(NAME).unwrap(), "pytorch_model.bin"), weights);
    assert_eq!(place.asked(&weights)[1].range.as_deref(), Some("bytes=20000-"));
}

#[test]
fn a_hub_that_is_busy_is_asked_again() {
    let place = Download::new(Model::of(openai(b"torch")));
    place.hub.fault("/api/", Fault::Status(429, &[("Retry-After", "0")]));
    place.hub.fault("/api/", Fault::Status(503, &[]));
    place.hub.fault("/config.json", Fault::Status(500, &[]));
    place.hub.fault("/blob/", Fault::Status(403, &[]));
    place.get(NAME).unwrap();
    let lists = place.hub.requests().into_iter().filter(|request| request.path.starts_with("/api/")).count();
    assert_eq!(lists, 3);
}

#[test]
fn a_hub_that_stays_busy_is_given_up() {
    let place = Download::new(Model::of(openai(b"torch")));
    for _ in 0..20 {
        place.hub.fault("/api/", Fault::Status(503, &[]));
    }
    let error = place.get(NAME).unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("answers with the status 503"), "{error}");
    assert_eq!(place.hub.requests().len(), 5);

    let place = Download::new(Model::of(openai(b"torch")));
    place.hub.fault("/api/", Fault::Status(429, &[("Retry-After", "86400")]));
    let error = place.get(NAME).unwrap_err().to_string();
    assert!(error.ends_with("and asks to come back in 86400 s"), "{error}");
    assert_eq!(place.hub.requests().len(), 1, "a day is not waited for");
}

#[test]
fn a_server_that_falls_silent_is_left() {
    let mut place = Download::new(Model::of(openai(b"torch")));
    place.settings.idle_max = Duration::from_millis(300);
    place.hub.fault("/blob/", Fault::Silent(Duration::from_secs(60)));
    place.get(NAME).unwrap();
}

#[test]
fn the_same_break_again_and_again_is_given_up() {
    let weights = content(9, 50_000);
    let place = Download::new(Model::of(openai(&weights)));
    for _ in 0..20 {
        place.hub.fault("/blob/", Fault::Cut(0));
    }
    let error = place.get(NAME).unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }), "{error}");
    let shown = format!("{:#}", anyhow::Error::from(error));
    assert!(!shown.contains("Signature"), "an address that is signed is not shown: {shown}");
    assert_eq!(place.asked(&weights).len(), 5);
}

#[test]
fn the_token_goes_to_the_hub_alone() {
    let mut place = Download::new(Model { access: Access::Private("hf_right"), ..Model::of(openai(b"torch")) });
    place.token("hf_right");
    place.get(NAME).unwrap();
    let requests = place.hub.requests();
    assert!(requests.iter().any(|request| request.is_storage));
    for request in requests {
        let expected = (!request.is_storage).then_some("Bearer hf_right");
        assert_eq!(request.authorization.as_deref(), expected, "{}", request.path);
    }
}

#[test]
fn a_redirect_may_be_relative() {
    let place = Download::new(Model { relative: true, ..Model::of(openai(b"torch")) });
    place.hub.rename("openai/old", REPO);
    let snapshot = place.get("hf:openai/old").unwrap();
    assert_eq!(read(&snapshot, "pytorch_model.bin"), b"torch");
    let link = fs::read_link(snapshot.folder.join("pytorch_model.bin")).unwrap();
    assert!(link.ends_with(sha256(b"torch")), "it is checked by the redirect's digest: {}", link.display());
    assert!(snapshot.folder.starts_with(place.home.path().join("models--openai--old")), "as it was asked for");
}

#[test]
fn a_refusal_says_why() {
    let refusal = |place: &Download, model: &str| match place.get(model).unwrap_err() {
        HubError::Refused { why, .. } => *why,
        error => panic!("{error}"),
    };
    let mut place = Download::new(Model::of(openai(b"torch")));
    assert_eq!(refusal(&place, "hf:openai/none"), Refusal::Repository { token: None });
    assert_eq!(refusal(&place, &format!("{NAME}@v9")), Refusal::Revision);
    place.token("hf_other");
    let token = Some("HF_TOKEN".to_owned());
    assert_eq!(refusal(&place, "hf:openai/none"), Refusal::Repository { token: token.clone() });
    place.token("hf_expired");
    assert_eq!(refusal(&place, NAME), Refusal::Token { token: token.clone() });

    let mut place = Download::new(Model { access: Access::Gated("hf_right"), ..Model::of(openai(b"torch")) });
    assert_eq!(refusal(&place, NAME), Refusal::Gated { token: None });
    place.token("hf_other");
    assert_eq!(refusal(&place, NAME), Refusal::Gated { token: token.clone() });
    place.token("hf_right");
    place.get(NAME).unwrap();

    let place = Download::new(Model::of(openai(b"torch")));
    place.hub.fault("/api/", Fault::Status(403, &[("X-Error-Message", "Your token lacks the right to read")]));
    let said = place.get(NAME).unwrap_err().to_string();
    assert!(said.ends_with("forbidden: Your token lacks the right to read"), "{said}");
}

#[test]
fn what_is_not_a_hub_is_told() {
    let place = Download::new(Model::of(openai(b"torch")));
    place.hub.fault("/api/", Fault::Page);
    let error = place.get(NAME).unwrap_err();
    assert!(error.to_string().contains("answers with a web page: it is not a Hugging Face hub"), "{error}");
    place.hub.fault("/config.json", Fault::Page);
    let error = place.get(NAME).unwrap_err();
    assert!(error.to_string().contains("answers with a file without an ETag"), "{error}");
    assert!(!place.path("blobs").exists());
}

#[test]
fn a_hub_that_is_not_there_is_told() {
    let place = Download::new(Model::of(openai(b"torch")));
    place.hub.stop();
    let error = place.get(NAME).unwrap_err();
    assert!(
        error.is_retryable() && error.to_string().starts_with("cannot get the list of files from the hub http://127"),
        "{error}"
    );
}

#[test]
fn two_at_once_do_no_harm() {
    let weights = content(10, 2_000_000);
    let place = Download::new(Model::of(openai(&weights)));
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..4).map(|_| scope.spawn(|| place.get(NAME).unwrap())).collect();
        for one in all {
            assert_eq!(read(&one.join().unwrap(), "pytorch_model.bin"), weights);
        }
    });
    assert_eq!(place.incomplete(), [""; 0]);
    assert_eq!(place.asked(&weights).iter().filter(|request| request.range.is_none()).count(), 1, "it is sent once");
}

#[test]
fn the_weights_of_a_configuration_that_is_refused_are_not_downloaded() {
    let place = Download::new(Model::of(openai(b"torch")));
    let refuse = |path: &Path| dqa_model::ClipConfig::parse("{}", path).map(drop);
    let error = snapshot_with(&place.settings, NAME, &refuse).unwrap_err();
    assert!(matches!(error, HubError::Config(_)), "{error}");
    assert!(place.asked(b"torch").is_empty());
}

#[test]
fn a_new_commit_is_another_snapshot() {
    let place = Download::new(Model::of(openai(b"old")));
    let old = place.get(NAME).unwrap();
    place.hub.put(REPO, Model::of(openai(b"new")));
    assert_eq!(place.get(NAME).unwrap(), old, "what is complete is not asked for");
    fs::remove_file(place.path("refs/main")).unwrap();
    let new = place.get(NAME).unwrap();
    assert_eq!((read(&old, "pytorch_model.bin"), read(&new, "pytorch_model.bin")), (b"old".to_vec(), b"new".to_vec()));
    let configs: BTreeMap<_, _> =
        [&old, &new].map(|snapshot| (fs::read_link(snapshot.folder.join("config.json")).unwrap(), ())).into();
    assert_eq!(configs.len(), 1, "what is the same is there once");
}

/// The model of [`TestDir`] as openai/clip-vit-base-patch32 has it: a PyTorch checkpoint on `main`, and safetensors in a conversion.
fn real(place: &TestDir) -> Model {
    let shape = ClipShape::from_kind("tiny");
    let mut save = TorchSave::default();
    let weights = HfDir { salt: "system", shape, shards: 1 }.weights();
    let mut tensors = Vec::new();
    for tensor in weights {
        let value = save.floats(&tensor.shape, &tensor.values);
        tensors.push((tensor.name, value));
    }
    let mut main = openai(&save.archive(&Py::Ordered(tensors)));
    main.retain(|(name, _)| name != "config.json");
    main.push(("config.json".to_owned(), config_json(&shape).into_bytes()));
    let mut conversion = main.clone();
    conversion.push(("model.safetensors".to_owned(), fs::read(place.path("model/model.safetensors")).unwrap()));
    Model::of(main).with("refs/pr/15", conversion)
}

/// The program with this hub, a cache in the place's folder, and no other setting of the hub.
fn run(place: &TestDir, hub: &Hub, variables: &[(&str, &str)], arguments: &[&str]) -> Said {
    let mut command = place.command(arguments);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_ascii_lowercase();
        if text.starts_with("hf_") || text.starts_with("hugging") || text.ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command.env("HF_ENDPOINT", hub.endpoint()).env("HF_HOME", place.path("hf")).envs(variables.iter().copied());
    Said::of(&command.output().unwrap())
}

const SUBMIT: [&str; 7] =
    ["submit", "--datasets", "haze.toml", "--model", NAME, "--prompts", "model/prompts.safetensors"];

#[test]
fn a_run_takes_its_model_from_the_hub_and_then_from_the_cache() {
    let (place, hub) = (TestDir::new(env!("CARGO_BIN_EXE_coord")), Hub::start());
    place.haze(&["dcp"]);
    hub.put(REPO, real(&place));
    hub.fault("/blob/", Fault::Cut(100_000));
    hub.fault("/api/", Fault::Status(429, &[("Retry-After", "0")]));
    let said = run(&place, &hub, &[], &SUBMIT).ends_with(0);
    assert!(
        said.err.contains("answers with the status 429") && said.err.contains("trying again in 0.0 s"),
        "{}",
        said.err
    );
    assert!(said.err.contains(&format!("hub: {REPO} at main is commit {}", hub.commit(REPO, "main"))), "{}", said.err);
    let scores = place.scores();
    assert_eq!(scores.len(), 3);
    let paths: Vec<String> = hub.requests().into_iter().map(|request| request.path).collect();
    for never in ["tf_model", "flax", "README", "tokenizer", "merges", "vocab", "safetensors"] {
        assert!(paths.iter().all(|path| !path.contains(never)), "{never}: {paths:?}");
    }

    // The same weights in a folder are the same model: what is scored is scored.
    let local = place.run(&place.submit("haze.toml", &[])).ends_with(0);
    assert!(local.err.contains("nothing to score"), "{}", local.err);
    let converted = format!("{NAME}@refs/pr/15");
    let other = [&SUBMIT[..4], &[&converted], &SUBMIT[5..]].concat();
    let said = run(&place, &hub, &[], &other).ends_with(0);
    assert!(said.err.contains("nothing to score"), "{}", said.err);

    hub.stop();
    for variables in [&[("DQA_STORE", "second")][..], &[("DQA_STORE", "third"), ("HF_HUB_OFFLINE", "1")]] {
        run(&place, &hub, variables, &SUBMIT).ends_with(0);
    }
    let empty = [("HF_HUB_OFFLINE", "1"), ("HF_HUB_CACHE", "empty")];
    let said = run(&place, &hub, &empty, &SUBMIT).ends_with(2);
    assert!(said.err.contains("dqa is offline (HF_HUB_OFFLINE)"), "{}", said.err);
    let said = run(&place, &hub, &[("HF_HUB_CACHE", "empty")], &SUBMIT).ends_with(2);
    assert!(said.err.contains("cannot get the list of files from the hub http://127.0.0.1"), "{}", said.err);
}

#[test]
fn a_model_is_shown() {
    let (place, hub) = (TestDir::new(env!("CARGO_BIN_EXE_coord")), Hub::start());
    hub.put(REPO, real(&place));
    let prompts = "model/prompts.safetensors";
    let said = run(&place, &hub, &[], &["model", "show", NAME, "--prompts", prompts]).ends_with(0);
    let commit = hub.commit(REPO, "main");
    for line in ["form          Hugging Face PyTorch checkpoint", &format!("revision      main, commit {commit}")] {
        assert!(said.out.contains(line), "{line}: {}", said.out);
    }
    let json = |model: &str| {
        let said =
            run(&place, &hub, &[], &["model", "show", model, "--prompts", prompts, "--format", "json"]).ends_with(0);
        serde_json::from_str::<serde_json::Value>(&said.out).unwrap()
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
    place.haze(&["dcp"]);
    let submitted = place.run(&place.submit("haze.toml", &[])).ends_with(0);
    let fingerprint = of_hub["prompts"]["fingerprint"].as_str().unwrap();
    assert!(submitted.err.contains(fingerprint), "{}", submitted.err);
}

#[test]
fn what_is_wrong_with_a_model_is_shown() {
    let place = TestDir::new(env!("CARGO_BIN_EXE_coord"));
    let said = place.run(&["model", "show", "model", "--prompts", "dqa:small"]).ends_with(1);
    assert!(said.out.contains("they cannot be used with this model: "), "{}", said.out);
    place.file("clone/config.json", &fs::read(place.path("model/config.json")).unwrap());
    place.file(
        "clone/model.safetensors",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 605157884\n",
    );
    let pointer = "error: cannot open the model clone\n  caused by: `clone/model.safetensors` is a Git LFS pointer that stands for \
                   a file of 605157884 bytes, not that file, and not a model's weights: run `git lfs pull` in the clone \
                   that it is in\n";
    assert_eq!(place.run(&["model", "show", "clone"]).ends_with(2).err, pointer);
    place.haze(&["dcp"]);
    let submit = ["submit", "--datasets", "haze.toml", "--model", "clone", "--handcrafted"];
    assert_eq!(place.run(&submit).ends_with(2).err, pointer, "the same as of a run");
    let said = place.run(&["model", "show", "openai/clip-vit-base-patch32"]).ends_with(2);
    assert!(said.err.contains("the hub's model is written `hf:openai/clip-vit-base-patch32`"), "{}", said.err);
}
