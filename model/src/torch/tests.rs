//! Real checkpoints are read, and hostile files are refused with bounded work.

use std::fs::File;
use std::io::Write;

use dqa_testkit::torch::{Py, PyTensor, TorchSave, zip};
use proptest::prelude::*;

use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use super::TorchError;
use super::torch_file::{TorchFile, VIEWS_MAX};
use crate::weights::checkpoint::{self, CheckpointError};

fn read(bytes: &[u8]) -> Result<TorchFile, TorchError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    TorchFile::read(map(&file))
}

fn map(file: &File) -> Arc<Mmap> {
    // SAFETY: the file has no name, so no one else truncates it.
    Arc::new(unsafe { Mmap::map(file) }.unwrap())
}

fn refused(bytes: &[u8]) -> String {
    match read(bytes) {
        Ok(_) => panic!("it was read"),
        Err(error) => error.to_string(),
    }
}

/// Returns each dictionary's path and names.
fn found(file: &TorchFile) -> Vec<(&str, Vec<&str>)> {
    file.dictionaries()
        .iter()
        .map(|found| (found.path.as_str(), found.tensors.keys().map(String::as_str).collect()))
        .collect()
}

fn values(file: &mut TorchFile, dictionary: usize, name: &str) -> Result<Vec<f32>, TorchError> {
    let tensor = file.dictionaries()[dictionary].tensors[name].clone();
    let stored = file.stored(name, &tensor)?;
    Ok(stored.values(0..stored.shape.iter().product()))
}

#[test]
fn dictionaries_are_found_wherever_they_lie() {
    for protocol in [2, 4, 5] {
        let mut save = TorchSave { protocol, ..TorchSave::default() };
        let tensors = ["a", "b"].map(|name| (name.to_owned(), save.floats(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])));
        save.shared = vec![Py::Ordered(tensors.to_vec())];
        let moment = save.floats(&[], &[3.0]);
        let optimizer = Py::Dict(vec![(Py::Int(0), Py::dict(vec![("exp_avg", moment)]))]);
        let root = Py::dict(vec![
            ("seed", Py::Long(vec![0x39, 0x30, 0, 0, 0, 0, 0, 0x80, 0])),
            ("huge", Py::Long(vec![1; 40])),
            ("lr", Py::Float(1e-4)),
            ("rng", save.tensor("ByteStorage", &[3], 3, vec![1, 2, 3])),
            ("mask", save.tensor("BoolStorage", &[2], 2, vec![1, 0])),
            ("when", Py::Call("datetime", "datetime", vec![Py::Bytes(vec![7; 10])])),
            ("best", Py::Call("numpy.core.multiarray", "scalar", vec![Py::None, Py::Bytes(vec![0; 8])])),
            ("args", Py::Object("argparse", "Namespace", vec![("lr".to_owned(), Py::Float(0.1))])),
            ("params_ema", Py::Shared(0)),
            ("again", Py::Shared(0)),
            ("optimizer", Py::dict(vec![("state", optimizer)])),
        ]);
        let mut file = read(&save.archive(&root)).unwrap();
        let wanted: Vec<(&str, Vec<&str>)> =
            vec![("", vec!["mask", "rng"]), ("params_ema", vec!["a", "b"]), ("optimizer.state.0", vec!["exp_avg"])];
        assert_eq!(found(&file), wanted, "protocol {protocol}");
        assert_eq!(values(&mut file, 1, "b").unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert!(!file.is_script());
    }
}

#[test]
fn views_are_read_as_they_are_meant() {
    let mut save = TorchSave::default();
    save.storages.insert("0".to_owned(), bytemuck::cast_slice(&[0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0]).to_vec());
    let view = |offset, shape: &[i64], strides: &[i64]| {
        let (shape, strides) = (shape.to_vec(), strides.to_vec());
        Py::Tensor(PyTensor { kind: "FloatStorage", key: "0".to_owned(), values: 6, offset, shape, strides })
    };
    let all = [
        ("whole", view(0, &[2, 3], &[3, 1])),
        ("transposed", view(0, &[3, 2], &[1, 3])),
        ("column", view(1, &[2], &[3])),
        ("row", view(3, &[1, 3], &[99, 1])),
        ("empty", view(6, &[0, 5], &[5, 1])),
        ("repeated", view(2, &[3], &[0])),
        ("scalar", view(5, &[], &[])),
    ];
    let parameter = Py::Call("torch._utils", "_rebuild_parameter", vec![view(4, &[1], &[1]), Py::Bool(true), Py::None]);
    let pairs = all.into_iter().chain([("parameter", parameter)]).map(|(name, tensor)| (name.to_owned(), tensor));
    let mut file = read(&save.archive(&Py::Ordered(pairs.collect()))).unwrap();
    for (name, wanted) in [
        ("whole", vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
        ("transposed", vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]),
        ("column", vec![1.0, 4.0]),
        ("row", vec![3.0, 4.0, 5.0]),
        ("empty", vec![]),
        ("repeated", vec![2.0, 2.0, 2.0]),
        ("scalar", vec![5.0]),
        ("parameter", vec![4.0]),
    ] {
        assert_eq!(values(&mut file, 0, name).unwrap(), wanted, "{name}");
    }
}

#[test]
fn modules_have_dotted_names() {
    let mut save = TorchSave::default();
    let object = |attributes: Vec<(&str, Py)>| {
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value));
        Py::Object("__torch__.multimodal", "Multimodal", attributes.collect())
    };
    // As TorchScript stores them, and as `torch.save(model)` does.
    let conv = object(vec![("training", Py::Bool(false)), ("weight", save.floats(&[1], &[1.0]))]);
    let parameters = Py::dict(vec![("bias", save.floats(&[1], &[2.0]))]);
    let inner = object(vec![("_parameters", parameters), ("_modules", Py::dict(vec![]))]);
    let modules = Py::dict(vec![("ln", inner)]);
    let root = object(vec![("visual", object(vec![("conv1", conv)])), ("text", object(vec![("_modules", modules)]))]);
    let file = read(&save.archive(&root)).unwrap();
    assert_eq!(found(&file), [("", vec!["text.ln.bias", "visual.conv1.weight"])]);
}

fn one(tensor: PyTensor) -> Vec<u8> {
    let mut save = TorchSave::default();
    save.storages.insert("0".to_owned(), vec![0; 16]);
    save.archive(&Py::Ordered(vec![("x".to_owned(), Py::Tensor(tensor))]))
}

#[test]
fn sizes_that_the_file_does_not_hold_are_refused() {
    let plain =
        PyTensor { kind: "FloatStorage", key: "0".to_owned(), values: 4, offset: 0, shape: vec![4], strides: vec![1] };
    let past = "its pickle is damaged at byte";
    for tensor in [
        PyTensor { shape: vec![5], ..plain.clone() },
        PyTensor { offset: 1, ..plain.clone() },
        PyTensor { shape: vec![i64::MAX, i64::MAX], strides: vec![i64::MAX, 1], ..plain.clone() },
        PyTensor { shape: vec![-1], ..plain.clone() },
        PyTensor { strides: vec![-1], ..plain.clone() },
        PyTensor { values: i64::MAX, ..plain.clone() },
        PyTensor { shape: vec![1; 65], strides: vec![1; 65], ..plain.clone() },
    ] {
        let text = refused(&one(tensor.clone()));
        assert!(text.starts_with(past), "{tensor:?}: {text}");
    }
    for (tensor, expected) in [
        (
            PyTensor { values: 1 << 40, shape: vec![1 << 40], ..plain.clone() },
            "the values of `x` cannot be read: its storage should have 4398046511104 bytes, but the file has 16",
        ),
        (
            PyTensor { key: "7".to_owned(), ..plain.clone() },
            "the values of `x` cannot be read: the file lacks its storage `7`",
        ),
        (
            PyTensor { shape: vec![1 << 40], strides: vec![0], ..plain.clone() },
            "the values of `x` cannot be read: it repeats values and is larger than its file; save it with `.contiguous()`",
        ),
        (
            PyTensor { shape: vec![1 << 31, 1 << 31, 1 << 31], strides: vec![0; 3], ..plain.clone() },
            "the values of `x` cannot be read: it repeats values and is larger than its file; save it with `.contiguous()`",
        ),
    ] {
        let error = values(&mut read(&one(tensor)).unwrap(), 0, "x").unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn views_of_one_storage_do_not_add_up_to_more_than_some_files() {
    let mut save = TorchSave::default();
    let size = 100_000;
    save.storages.insert("0".to_owned(), vec![0; 4 * size]);
    let view = |transposed: bool| {
        let (shape, strides) =
            (vec![10, size as i64 / 10], if transposed { vec![1, 10] } else { vec![size as i64 / 10, 1] });
        Py::Tensor(PyTensor {
            kind: "FloatStorage",
            key: "0".to_owned(),
            values: size as i64,
            offset: 0,
            shape,
            strides,
        })
    };
    for (transposed, most) in [(true, 1), (false, VIEWS_MAX)] {
        let pairs: Vec<_> = (0..20).map(|i| (format!("{i:02}"), view(transposed))).collect();
        let mut file = read(&save.archive(&Py::Ordered(pairs))).unwrap();
        let tensors = file.dictionaries()[0].tensors.clone();
        let taken = tensors.iter().take_while(|(name, tensor)| file.stored(name, tensor).is_ok()).count();
        assert_eq!(taken, most, "transposed: {transposed}");
    }
}

fn raw(opcodes: &[u8]) -> Vec<u8> {
    TorchSave::default().archive(&Py::Raw(opcodes.to_vec()))
}

#[test]
fn hostile_pickles_are_refused_or_hold_nothing() {
    // A tuple that holds the last one twice: 2^100,000 values for a reader that follows all references.
    let doubling: Vec<u8> = std::iter::once(b')').chain([b'2', 0x86].repeat(100_000)).collect();
    assert!(found(&read(&raw(&doubling)).unwrap()).is_empty());
    // Lists in lists.
    let deep: Vec<u8> = [vec![b']'; 1_000_000], vec![b'a'; 999_999]].concat();
    assert!(found(&read(&raw(&deep)).unwrap()).is_empty());
    // A list that holds itself.
    assert!(found(&read(&raw(b"]2a")).unwrap()).is_empty());
    // A dictionary that is copied again and again.
    let mut copies = b"}(".to_vec();
    copies.extend(b"NN".repeat(10_000));
    copies.extend(b"uq\x00");
    copies.extend(b"ccollections\nOrderedDict\nh\x00\x85R0".repeat(1000));
    assert!(refused(&raw(&copies)).starts_with("it is over a limit: dictionaries are copied"));
    let endless = vec![b')'; 5_000_000];
    assert_eq!(refused(&raw(&endless)), "it is over a limit: its pickle has more than 4000000 opcodes");
    // A function that returns another one's call.
    let mut nested = b"(ctorch._tensor\n_rebuild_from_type_v2\nq\x00NNNtq\x01".to_vec();
    nested.extend(b"ctorch._tensor\n_rebuild_from_type_v2\n(h\x00Nh\x01NtR");
    assert!(found(&read(&raw(&nested)).unwrap()).is_empty());
    for (opcodes, expected) in [
        (&b"X\xff\xff\xff\xffa"[..], "it ends in the middle of a value"),
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff", "it ends in the middle of a value"),
        (b"h\x07", "it reads a memo entry that was never written"),
        (b"0", "it pops a value from an empty stack"),
        (b"(0R", "it pops a value from an empty stack"),
        (b"N(R", "it uses a mark as a value"),
        (b"t", "it pops a mark where there is none"),
        (b"}(Nu", "a key has no value"),
        (b")N\x86Na", "it appends to a value that is not a list"),
        (b"\xff", "an opcode is unknown"),
        (b"\x97", "an opcode is unknown"),
        (b"\x80\x06", "its protocol is newer than 5"),
        (b"cos\nsystem\nNR", "a call has no arguments"),
    ] {
        let text = refused(&raw(opcodes));
        assert!(text.starts_with("its pickle is damaged at byte ") && text.ends_with(expected), "{opcodes:?}: {text}");
    }
    // A call that would run a program.
    let system = Py::Call("os", "system", vec![Py::str("touch /tmp/dqa-was-run")]);
    assert!(found(&read(&TorchSave::default().archive(&system)).unwrap()).is_empty());
    assert!(!Path::new("/tmp/dqa-was-run").exists());
}

#[test]
fn a_long_key_makes_no_long_names() {
    let mut save = TorchSave::default();
    let tensor = save.floats(&[], &[1.0]);
    let tensors = (0..1000).map(|i| (format!("{i}"), tensor.clone())).collect();
    let mut value = Py::Object("a", "b", tensors);
    for _ in 0..25 {
        value = Py::Object("a", "b", vec![("k".repeat(4000), value)]);
    }
    assert!(refused(&save.archive(&value)).starts_with("it is over a limit: the names of its tensors"));
    let longer =
        Py::Object("a", "b", vec![("k".repeat(5000), Py::dict(vec![("x", tensor.clone())])), ("y".to_owned(), tensor)]);
    assert_eq!(found(&read(&save.archive(&longer)).unwrap()), [("", vec!["y"])]);
}

#[test]
fn archives_that_lie_are_refused() {
    let mut save = TorchSave::default();
    let tensor = save.floats(&[2], &[1.0, 2.0]);
    let whole = save.archive(&Py::Ordered(vec![("x".to_owned(), tensor)]));
    for cut in [0, 3, 30, whole.len() / 2, whole.len() - 1] {
        let text = refused(&[&b"PK\x03\x04"[..], &whole[4..cut.max(4)]].concat());
        assert!(text.contains("cut short") || text.contains("outside it"), "{cut}: {text}");
    }
    let entry = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
    let pickle = save.pickle(&Py::None);
    for (entries, expected) in [
        (vec![entry("a/b", b"")], "it is a zip archive without `data.pkl`, so not PyTorch's"),
        (
            vec![entry("a/data.pkl", &pickle), entry("b/data.pkl", &pickle)],
            "it has more than one `data.pkl`: pack one checkpoint alone",
        ),
        (vec![entry("a/data.pkl", &pickle), entry("a/data.pkl", &pickle)], "it has two entries `a/data.pkl`"),
        (
            vec![entry("a/data.pkl", &pickle), entry("a/byteorder", b"big")],
            "it was written on a big-endian machine; load it there and save it as safetensors",
        ),
    ] {
        assert_eq!(refused(&zip(&entries)), expected);
    }
    // The second entry's header claims the position of the first.
    let two = zip(&[entry("a/data.pkl", &pickle), entry("a/data.pkX", &pickle)]);
    let directory = two.windows(4).rposition(|four| four == b"PK\x01\x02").unwrap();
    let mut overlapping = two.clone();
    overlapping[directory + 42..][..4].copy_from_slice(&0u32.to_le_bytes());
    overlapping[directory + 55] = b'l';
    assert!(
        ["it has two entries", "entries of it overlap"]
            .iter()
            .any(|expected| refused(&overlapping).starts_with(expected))
    );
    // A deflated pickle, as in a zip bomb.
    let mut deflated = two.clone();
    let first = two.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    deflated[first + 10] = 8;
    assert!(refused(&deflated).starts_with("its entry `a/data.pkl` is compressed or encrypted"));
}

#[test]
fn what_was_saved_before_1_6_is_read() {
    let mut save = TorchSave::default();
    let tensor = save.floats(&[2], &[1.0, 2.0]);
    let value = Py::dict(vec![("state_dict", Py::Ordered(vec![("x".to_owned(), tensor)]))]);
    let file = |is_little: bool| {
        let machine = Py::dict(vec![("protocol_version", Py::Int(1001)), ("little_endian", Py::Bool(is_little))]);
        let mut bytes = save.pickle(&Py::Long(vec![0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]));
        for part in [Py::Int(1001), machine, value.clone(), Py::List(vec![Py::str("0")])] {
            bytes.extend(save.pickle(&part));
        }
        bytes.extend(2u64.to_le_bytes());
        bytes.extend(&save.storages["0"]);
        bytes
    };
    let mut read_file = read(&file(true)).unwrap();
    assert_eq!(found(&read_file), [("state_dict", vec!["x"])]);
    assert_eq!(values(&mut read_file, 0, "x").unwrap(), [1.0, 2.0]);
    assert!(refused(&file(false)).contains("big-endian"));
    let whole = file(true);
    for cut in 20..whole.len() {
        assert!(read(&whole[..cut]).is_err(), "{cut}");
    }
}

/// Files as PyTorch writes them.
fn fixtures() -> Vec<Vec<u8>> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut files = vec![std::fs::read(data.join("other.pth")).unwrap()];
    let mut save = TorchSave { protocol: 4, ..TorchSave::default() };
    let pairs = [("a", save.floats(&[2, 2], &[1.0; 4])), ("b", save.halves(&[3], &[2.0; 3]))];
    let state = Py::Ordered(pairs.map(|(name, tensor)| (name.to_owned(), tensor)).to_vec());
    files.push(save.archive(&Py::dict(vec![("epoch", Py::Int(3)), ("state_dict", state)])));
    files
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// Whatever bytes are changed, the result is a value or an error; and the tensors handed out are within a few times
    /// the file.
    #[test]
    fn spoilt_files_are_read_or_refused(
        which in 0usize..2, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12), cut: Option<prop::sample::Index>,
    ) {
        let mut bytes = fixtures().swap_remove(which);
        for (position, byte) in &changes {
            let position = position.index(bytes.len());
            bytes[position] = *byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()).max(1));
        }
        if let Ok(mut file) = read(&bytes) {
            let mut given = 0;
            for dictionary in file.dictionaries().to_vec() {
                for (name, tensor) in &dictionary.tensors {
                    given += file.stored(name, tensor).map_or(0, |stored| stored.bytes().len());
                }
            }
            prop_assert!(given <= VIEWS_MAX * bytes.len());
        }
    }

    /// The same for opcodes in any order.
    #[test]
    fn any_opcodes_are_read_or_refused(opcodes in prop::collection::vec(
        prop_oneof![
            prop::sample::select(b"().]}NKMJaesuRbctlpqhj0123PQio\x81\x85\x86\x87\x88\x89\x8a\x8c\x8f\x90\x91\x92\x93\x94\x95".to_vec()),
            any::<u8>(),
        ], 0..200,
    )) {
        let _ = read(&raw(&opcodes));
    }
}

#[test]
fn errors_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.pth");
    std::fs::write(&path, b"PK\x03\x04").unwrap();
    let Err(error) = checkpoint::open_torch(&path) else { panic!("it was read") };
    assert!(matches!(&error, CheckpointError::Torch { path: named, .. } if *named == path), "{error}");
    assert!(!error.is_retryable());
}
