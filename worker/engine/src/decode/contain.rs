//! Contains panics of decoders: a panic becomes one picture's error instead of the end of the process. Its message and
//! source location go into the error, and nothing is printed. Other panics are printed as usual.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::sync::Once;

use super::{Format, PictureError};

thread_local! {
    /// The location of the panic that this thread contains. None while the thread contains no panics.
    static CONTAINED: RefCell<Option<Location>> = const { RefCell::new(None) };
}

static HOOK: Once = Once::new();

/// A panic's source location. None until there is a panic.
type Location = Option<String>;

/// Runs a decoder of `format` and turns its panic into an error.
pub(super) fn contain<T>(format: Format, work: impl FnOnce() -> Result<T, PictureError>) -> Result<T, PictureError> {
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !record(info) {
                usual(info);
            }
        }));
    });
    let outer = CONTAINED.replace(Some(None));
    let result = catch_unwind(AssertUnwindSafe(work));
    let location = CONTAINED.replace(outer).flatten();
    result.unwrap_or_else(|payload| {
        let message = message(&*payload);
        let message = location.map_or(message.clone(), |location| format!("{message} (at {location})"));
        Err(PictureError::Internal { format, message })
    })
}

/// Records the location of a panic if this thread contains it, and returns whether it does.
fn record(info: &PanicHookInfo<'_>) -> bool {
    let record = |contained: &RefCell<Option<Location>>| match contained.try_borrow_mut() {
        Ok(mut contained) if contained.is_some() => {
            let location =
                info.location().map(|location| format!("{}:{}", short_path(location.file()), location.line()));
            *contained = Some(location);
            true
        }
        _ => false,
    };
    // A thread that is ending has no thread locals any more, and contains no panics.
    CONTAINED.try_with(record).unwrap_or(false)
}

/// Returns a source file's path without the folder of packages on this machine: `tiff-0.11.3/src/decoder/mod.rs`.
fn short_path(file: &str) -> &str {
    let package = file.split_once("/registry/src/").and_then(|(_, path)| path.split_once('/'));
    package.map_or(file, |(_, path)| path)
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::decode::ErrorCode;

    /// A decoder with a bug.
    fn decoder(bytes: &[u8]) -> Result<u8, PictureError> {
        Ok(bytes[7])
    }

    #[test]
    fn a_panic_is_an_error_that_says_where() {
        let error = contain(Format::Tiff, || decoder(b"II*\0")).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Internal);
        let line = error.line();
        assert!(line.contains("index out of bounds: the len is 4 but the index is 7"), "{line}");
        assert!(line.contains("contain.rs:"), "{line}");
        assert!(matches!(contain(Format::Tiff, || decoder(b"whole file")), Ok(b'i')));
    }

    #[test]
    fn packages_are_named_without_where_they_lie() {
        let file = "/root/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/png-0.18.1/src/lib.rs";
        assert_eq!(short_path(file), "png-0.18.1/src/lib.rs");
        assert_eq!(short_path("worker/engine/src/decode/png.rs"), "worker/engine/src/decode/png.rs");
    }

    #[test]
    #[ignore = "what it prints is looked at by the next test"]
    fn contained_and_not() {
        contain(Format::Tiff, || decoder(b"contained")).unwrap();
        contain(Format::Tiff, || decoder(b"short")).unwrap_err();
        contain(Format::Tiff, || contain(Format::Jpeg, || decoder(b"")).or_else(|_| decoder(b"nested"))).unwrap_err();
        let end = std::thread::spawn(|| panic!("a panic of nobody's decoder")).join();
        assert!(end.is_err());
    }

    #[test]
    fn only_other_panics_are_printed() {
        let test = format!("{}::contained_and_not", module_path!().split_once("::").unwrap().1);
        let program = std::env::current_exe().unwrap();
        let output = Command::new(program).args(["--exact", &test, "--ignored", "--nocapture"]).output().unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{printed}");
        assert!(printed.contains("a panic of nobody's decoder"), "{printed}");
        assert!(!printed.contains("index out of bounds"), "{printed}");
    }
}
