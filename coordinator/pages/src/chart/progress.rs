//! One bar for the state of a run's pictures: scored, failed, running and waiting stay apart.

use maud::{Markup, html};

use crate::number::{count_text, show_count};

/// A share of the bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) name: &'static str,
    /// The class of its colour.
    pub(crate) class: &'static str,
    pub(crate) count: u64,
}

/// Returns the bar with its numbers.
pub(crate) fn progress_bar(shares: &[Share], noun: &str) -> Markup {
    let total: u64 = shares.iter().map(|share| share.count).sum();
    let percent = |count: u64| if total == 0 { 0.0 } else { count as f64 / total as f64 * 100.0 };
    let before = |index: usize| percent(shares[..index].iter().map(|share| share.count).sum());
    let texts: Vec<String> = shares.iter().map(|share| format!("{} {}", count_text(share.count), share.name)).collect();
    html! {
        div.progress {
            svg role="img" aria-label=(format!("{noun}: {}", texts.join(", "))) {
                rect.rest x="0" y="0" width="100%" height="100%" {}
                @for (index, share) in shares.iter().enumerate().filter(|(_, share)| share.count > 0) {
                    rect.(share.class) x=(format!("{:.3}%", before(index))) y="0" height="100%"
                        width=(format!("{:.3}%", percent(share.count))) {}
                }
            }
            dl {
                @for share in shares {
                    div {
                        dt {
                            svg.key aria-hidden="true" { rect.(share.class) width="10" height="10" y="1" rx="2" {} }
                            (share.name)
                        }
                        dd { (show_count(share.count)) }
                    }
                }
            }
        }
    }
}
