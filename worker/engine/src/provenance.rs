//! What records say about the process that wrote them.

/// Returns the machine's name.
pub fn host() -> String {
    hostname::get().map_or_else(|_| "unknown".to_owned(), |host| host.to_string_lossy().into_owned())
}

/// Returns the process's arguments, joined by spaces. Bytes that are not UTF-8 become U+FFFD.
pub fn command_line() -> String {
    std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
