//! The drawings of one picture: each of its maps, and a sheet with all of them.

use dqa_model::{AttentionMap, Explanation, Rgb8};
use image::RgbImage;

use super::draw::{self, Panel};
use super::{AttentionLayer, Map, MapOptions, Maps};

/// A rendered map or sheet.
pub struct Drawing {
    /// `sheet`, `whole`, `windows` or `scores`.
    pub name: &'static str,
    picture: RgbImage,
}

impl Drawing {
    /// Returns the drawing as a PNG file.
    pub fn png(&self) -> Vec<u8> {
        draw::png(&self.picture)
    }
}

/// Returns the sheet under this title, and then each map over the picture in the picture's size.
pub fn drawings(title: &str, picture: &Rgb8, explained: &Explanation, options: &MapOptions) -> Vec<Drawing> {
    let maps = Maps::new(explained, options, (picture.width(), picture.height()));
    let score = explained.score.score;
    let windows = explained.windows.len();
    let caption = format!("score {score:.4} over {windows} windows");
    let mut panels = vec![Panel { caption, picture: draw::to_image(picture), scale: None }];
    let mut drawings = Vec::new();
    let share = |part: fn(&AttentionMap) -> &Vec<f32>| {
        let sum = |window| part(options.layer.select(window)).iter().sum::<f32>();
        let drawn = &explained.windows[options.windows(windows)];
        100.0 * drawn.iter().map(sum).sum::<f32>() / drawn.len() as f32
    };
    let mut add = |name, map: Option<Map>, caption: String, label: fn(f32) -> String| {
        let Some(map) = map else { return };
        let range = map.range();
        let drawn = draw::overlay(picture, &map, range);
        panels.push(Panel { caption, picture: drawn.clone(), scale: Some((label(range.0), label(range.1))) });
        drawings.push(Drawing { name, picture: drawn });
    };
    let attention = |value: f32| format!("{value:.2} x even");
    let caption = format!("whole view: {:.0}% of attention", share(|attention| &attention.whole));
    add("whole", maps.whole, caption, attention);
    let which = options.window.map_or("windows".to_owned(), |window| format!("window {window}"));
    let caption = format!("{which}: {:.0}% of attention", share(|attention| &attention.window));
    add("windows", maps.windows, caption, attention);
    add("scores", maps.scores, format!("scores of the {which}"), |value| format!("{value:.4}"));
    let layer = match options.layer {
        AttentionLayer::Rollout => "attention through all layers (rollout)".to_owned(),
        AttentionLayer::Layer(index) => {
            format!("attention in layer {} of {}", index + 1, explained.windows[0].layers.len())
        }
    };
    let sheet = draw::sheet(&format!("{title}: {layer}"), &panels, 2);
    drawings.insert(0, Drawing { name: "sheet", picture: sheet });
    drawings
}
