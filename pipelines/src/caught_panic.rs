//! Catches panics of decoders: a panic becomes the error of one file instead of the end of the process. Its message and
//! source location go into the error, and nothing is printed. Other panics are printed as usual.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

thread_local! {
    /// The location of the panic that this thread caught. None while the thread runs no decoder.
    static CAUGHT_LOCATION: RefCell<Option<Location>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// A panic's source location. None until there is a panic.
type Location = Option<String>;

/// The panic of a decoder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CaughtPanic(String);

impl CaughtPanic {
    /// Returns the panic with this payload.
    pub fn from_payload(payload: &(dyn Any + Send)) -> CaughtPanic {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        CaughtPanic(text.unwrap_or("no message").to_owned())
    }
}

/// Runs a decoder.
///
/// # Errors
/// If it panics.
pub fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, CaughtPanic> {
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !record(info) {
                usual(info);
            }
        }));
    });
    let outer = CAUGHT_LOCATION.replace(Some(None));
    let result = catch_unwind(AssertUnwindSafe(work));
    let location = CAUGHT_LOCATION.replace(outer).flatten();
    result.map_err(|payload| {
        let CaughtPanic(message) = CaughtPanic::from_payload(&*payload);
        CaughtPanic(location.map_or(message.clone(), |location| format!("{message} (at {location})")))
    })
}

/// Records the location of a panic if this thread will catch it, and returns whether it will.
fn record(info: &PanicHookInfo<'_>) -> bool {
    let record = |caught: &RefCell<Option<Location>>| match caught.try_borrow_mut() {
        Ok(mut caught) if caught.is_some() => {
            let location =
                info.location().map(|location| format!("{}:{}", short_path(location.file()), location.line()));
            *caught = Some(location);
            true
        }
        _ => false,
    };
    // A thread that is ending has no thread locals any more, and catches no panics.
    CAUGHT_LOCATION.try_with(record).unwrap_or(false)
}

/// Returns a source file's path without the folder of packages on this machine: `tiff-0.11.3/src/decoder/mod.rs`.
fn short_path(file: &str) -> &str {
    let package = file.split_once("/registry/src/").and_then(|(_, path)| path.split_once('/'));
    package.map_or(file, |(_, path)| path)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Reads out of bounds if there are fewer than 8 bytes.
    fn decode_with_bug(bytes: &[u8]) -> u8 {
        bytes[7]
    }

    #[test]
    fn a_panic_becomes_an_error_with_its_location() {
        let message = catch_panic(|| decode_with_bug(b"II*\0")).unwrap_err().to_string();
        assert!(message.contains("index out of bounds: the len is 4 but the index is 7"), "{message}");
        assert!(message.contains("caught_panic.rs:"), "{message}");
        assert_eq!(catch_panic(|| decode_with_bug(b"whole file")), Ok(b'i'));
    }

    #[test]
    fn paths_of_packages_are_shortened() {
        let file = "/root/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/png-0.18.1/src/lib.rs";
        assert_eq!(short_path(file), "png-0.18.1/src/lib.rs");
        assert_eq!(short_path("worker/engine/src/decode/png.rs"), "worker/engine/src/decode/png.rs");
    }

    #[test]
    #[ignore = "the next test runs it and checks its output"]
    fn panics_inside_and_outside_a_decoder() {
        catch_panic(|| decode_with_bug(b"contained")).unwrap();
        catch_panic(|| decode_with_bug(b"short")).unwrap_err();
        catch_panic(|| catch_panic(|| decode_with_bug(b"")).unwrap_or_else(|_| decode_with_bug(b"nested")))
            .unwrap_err();
        let end = std::thread::spawn(|| panic!("a panic of nobody's decoder")).join();
        assert!(end.is_err());
    }

    #[test]
    fn only_panics_outside_decoders_are_printed() {
        let test = format!("{}::panics_inside_and_outside_a_decoder", module_path!().split_once("::").unwrap().1);
        let program = std::env::current_exe().unwrap();
        let output = Command::new(program).args(["--exact", &test, "--ignored", "--nocapture"]).output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{printed}");
        assert!(printed.contains("a panic of nobody's decoder"), "{printed}");
        assert!(!printed.contains("index out of bounds"), "{printed}");
    }
}
