//! Two pictures of a scene, beside each other without the script, and under a slider with it.

use maud::{Markup, html};

use crate::context::Context;
use crate::number::Digits;
use crate::pages::scene::{ScenePage, first_value};
use crate::picture::Picture;
use crate::thumbnail::shown_address;

/// A picture that can be chosen.
struct Choice {
    name: String,
    /// The name with the score.
    tag: String,
    address: String,
    size: Option<(u32, u32)>,
}

/// Returns the two pictures with their controls: at first the best output and the hazy input, or another output. None if
/// fewer than two can be shown.
pub(super) fn stage(context: &Context, page: &ScenePage, pictures: &[&Picture]) -> Option<Markup> {
    let digits = Digits::for_values(pictures.iter().filter_map(|picture| first_value(picture)));
    let choice = |picture: &Picture, name: &str| {
        let tag = match first_value(picture) {
            Some(value) => format!("{name} {}", digits.text(value)),
            None => name.to_owned(),
        };
        let address = shown_address(context, picture)?;
        Some(Choice { name: name.to_owned(), tag, address, size: picture.size })
    };
    let outputs = pictures.iter().filter_map(|picture| choice(picture, &picture.algorithm));
    let hazy = page.hazy.as_ref().and_then(|picture| choice(picture, "hazy input"));
    let clear = page.clear.as_ref().and_then(|picture| choice(picture, "clear picture"));
    let inputs = hazy.into_iter().chain(clear);
    let choices: Vec<Choice> = outputs.chain(inputs).collect();
    if choices.len() < 2 {
        return None;
    }
    // The hazy input is the first after the outputs.
    let outputs =
        choices.iter().filter(|choice| !["hazy input", "clear picture"].contains(&choice.name.as_str())).count();
    let second = if outputs < choices.len() { outputs } else { choices.len().min(4) - 1 };
    let first = if second == 0 { 1 } else { 0 };
    Some(html! {
        div.stage data-viewer="viewer" {
            (shown(&choices[first]))
            (shown(&choices[second]))
            div.line {}
        }
        (controls(&choices, first, second))
    })
}

fn shown(choice: &Choice) -> Markup {
    let (width, height) = choice.size.unzip();
    html! {
        figure {
            img src=(choice.address) alt=(choice.name) width=[width] height=[height] draggable="false";
            span.tag { (choice.tag) }
        }
    }
}

fn controls(choices: &[Choice], first: usize, second: usize) -> Markup {
    let select = |label: &str, chosen: usize| {
        html! {
            label { (label) " "
                select autocomplete="off" {
                    @for (index, choice) in choices.iter().enumerate() {
                        option selected[index == chosen] data-full=(choice.address) data-tag=(choice.tag) {
                            (choice.name)
                        }
                    }
                }
            }
        }
    };
    html! {
        div.viewer.js #viewer {
            input type="range" min="0" max="100" step="1" value="50" aria-label="Line between the two pictures";
            (select("left", first))
            (select("right", second))
            button type="button" data-flicker aria-pressed="false" { "Flicker" }
            button type="button" data-zoom-in aria-label="Zoom in" { "+" }
            button type="button" data-zoom-out aria-label="Zoom out" { "\u{2212}" }
            button type="button" data-zoom-reset { "Reset" }
        }
    }
}
