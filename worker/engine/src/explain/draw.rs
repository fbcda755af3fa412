//! Heat maps over a picture, and a sheet of them with captions and scales.

use std::io::Cursor;

use dqa_model::Rgb8;
use image::imageops::{self, FilterType};
use image::{ImageFormat, Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use super::Map;

/// Largest width and height of a picture on a sheet, in pixels: of two in a row, and of more.
const PANEL_MAX: (u32, u32) = (560, 420);
const SMALL_PANEL_MAX: (u32, u32) = (360, 270);

const MARGIN: u32 = 12;
const LINE_HEIGHT: u32 = 20;
const BAR_HEIGHT: u32 = 10;
const INK: Rgb<u8> = Rgb([30, 30, 30]);
const PAPER: Rgb<u8> = Rgb([255, 255, 255]);

/// One picture of a sheet.
pub(super) struct Panel {
    /// The line above the picture.
    pub(super) caption: String,
    /// The picture in its own size.
    pub(super) picture: RgbImage,
    /// The labels of the two ends of the colour scale below the picture. None if the picture has no scale.
    pub(super) scale: Option<(String, String)>,
}

/// Returns the picture as an image.
pub(super) fn to_image(picture: &Rgb8) -> RgbImage {
    RgbImage::from_raw(picture.width(), picture.height(), picture.pixels().to_vec())
        .expect("a picture has three bytes a pixel")
}

/// Draws the map in colours, from `range.0` (violet) to `range.1` (yellow), over the picture in gray. Where the map has
/// no value, the picture is drawn darker.
pub(super) fn overlay(picture: &Rgb8, map: &Map, range: (f32, f32)) -> RgbImage {
    let mut drawn = to_image(picture);
    let width = (range.1 - range.0).max(f32::MIN_POSITIVE);
    for (pixel, value) in drawn.pixels_mut().zip(&map.values) {
        let [r, g, b] = pixel.0.map(f32::from);
        let gray = 0.299 * r + 0.587 * g + 0.114 * b;
        pixel.0 = if value.is_finite() {
            let heat = colour(((value - range.0) / width).clamp(0.0, 1.0));
            // The picture has a third of its contrast, so that its bright areas do not look hot.
            heat.map(|heat| (0.35 * gray + 20.0 + 0.57 * 255.0 * heat) as u8)
        } else {
            [(0.6 * gray) as u8; 3]
        };
    }
    drawn
}

/// Returns the colour of a value from 0 to 1: hue goes from violet to yellow and lightness rises evenly with it, so
/// that the scale is readable in print and for colour-blind readers (a cubehelix: Green 2011).
fn colour(value: f32) -> [f32; 3] {
    let light = 0.14 + 0.7 * value;
    let angle = std::f32::consts::TAU * (0.12 - 0.62 * value);
    let swing = 1.5 * light * (1.0 - light);
    let (sin, cos) = angle.sin_cos();
    [(-0.14861, 1.78277), (-0.29227, -0.90649), (1.97294, 0.0)]
        .map(|(c, s)| (light + swing * (c * cos + s * sin)).clamp(0.0, 1.0))
}

/// Draws all panels side by side, at most `columns` in a row, under a title. Pictures of different shapes have cells of one
/// size.
pub(super) fn sheet(title: &str, panels: &[&Panel], columns: u32) -> RgbImage {
    let columns = columns.min(panels.len() as u32);
    let largest = if columns > 2 { SMALL_PANEL_MAX } else { PANEL_MAX };
    let sizes: Vec<(u32, u32)> = panels.iter().map(|panel| fitted(panel.picture.dimensions(), largest)).collect();
    let most = |side: fn(&(u32, u32)) -> u32| sizes.iter().map(side).max().unwrap_or(1);
    let (panel_width, panel_height) = (most(|size| size.0), most(|size| size.1));
    // A cell has room for caption and scale at any aspect ratio.
    let cell = (
        panel_width.max(42 * glyph_width()) + MARGIN,
        LINE_HEIGHT + panel_height + BAR_HEIGHT + 6 + LINE_HEIGHT + MARGIN,
    );
    let rows = (panels.len() as u32).div_ceil(columns);
    let mut sheet = RgbImage::from_pixel(MARGIN + columns * cell.0, MARGIN + LINE_HEIGHT + rows * cell.1, PAPER);
    write(&mut sheet, (MARGIN, MARGIN / 2), title);
    for ((number, panel), (width, height)) in (0..).zip(panels).zip(sizes) {
        let (x, y) = (MARGIN + number % columns * cell.0, MARGIN + LINE_HEIGHT + number / columns * cell.1);
        write(&mut sheet, (x, y), &panel.caption);
        let small = imageops::resize(&panel.picture, width, height, FilterType::Triangle);
        imageops::replace(&mut sheet, &small, x.into(), (y + LINE_HEIGHT).into());
        if let Some(labels) = &panel.scale {
            draw_scale(&mut sheet, (x, y + LINE_HEIGHT + height + 3), width.max(cell.0 - MARGIN), labels);
        }
    }
    sheet
}

/// Returns the size of a picture that is made to fit.
fn fitted((width, height): (u32, u32), largest: (u32, u32)) -> (u32, u32) {
    let fit = (f64::from(largest.0) / f64::from(width)).min(f64::from(largest.1) / f64::from(height));
    let side = |length: u32| ((f64::from(length) * fit).round() as u32).max(1);
    (side(width), side(height))
}

/// Draws the colours from low to high with the labels of their ends.
fn draw_scale(sheet: &mut RgbImage, (x, top): (u32, u32), length: u32, (low, high): &(String, String)) {
    for column in 0..length {
        let heat = colour(column as f32 / (length - 1) as f32).map(|value| (255.0 * value) as u8);
        (0..BAR_HEIGHT).for_each(|row| set_pixel(sheet, (x + column, top + row), Rgb(heat)));
    }
    write(sheet, (x, top + BAR_HEIGHT), low);
    let right = (x + length).saturating_sub(high.len() as u32 * glyph_width());
    write(sheet, (right, top + BAR_HEIGHT), high);
}

/// Encodes a picture as a PNG file.
pub(super) fn png(picture: &RgbImage) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, ImageFormat::Png).expect("memory takes any picture");
    file.into_inner()
}

fn glyph_width() -> u32 {
    get_raster_width(FontWeight::Regular, RasterHeight::Size16) as u32
}

/// Draws text with its top left corner at (x, y). Text beyond the sheet is cut off; a character outside the font
/// becomes a question mark.
fn write(sheet: &mut RgbImage, (x, y): (u32, u32), text: &str) {
    for (number, letter) in (0..).zip(text.chars()) {
        let glyph = |letter| get_raster(letter, FontWeight::Regular, RasterHeight::Size16);
        let Some(glyph) = glyph(letter).or_else(|| glyph('?')) else { continue };
        for (dy, row) in (0..).zip(glyph.rows()) {
            for (dx, ink) in (0..).zip(row) {
                let shade = |paper: u8, full: u8| paper - (u16::from(paper - full) * u16::from(*ink) / 255) as u8;
                let dot = [0, 1, 2].map(|channel| shade(PAPER.0[channel], INK.0[channel]));
                if *ink > 0 {
                    set_pixel(sheet, (x + number * glyph_width() + dx, y + dy), Rgb(dot));
                }
            }
        }
    }
}

fn set_pixel(sheet: &mut RgbImage, (x, y): (u32, u32), colour: Rgb<u8>) {
    if let Some(pixel) = sheet.get_pixel_mut_checked(x, y) {
        *pixel = colour;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_rises_in_lightness() {
        let light = |value: f32| {
            let [r, g, b] = colour(value);
            0.30 * r + 0.59 * g + 0.11 * b
        };
        let scale: Vec<f32> = (0..=50).map(|at| light(at as f32 / 50.0)).collect();
        assert!(scale.is_sorted(), "{scale:?}");
        assert!(scale[50] - scale[0] > 0.6);
    }

    #[test]
    fn a_map_colours_what_it_covers() {
        let picture = Rgb8::new(3, 1, [[90, 90, 90]; 3].concat());
        let map = Map { width: 3, height: 1, values: vec![f32::NAN, 1.0, 2.0] };
        let drawn = overlay(&picture, &map, (1.0, 2.0));
        let [none, cold, hot] = [0, 1, 2].map(|x| drawn.get_pixel(x, 0).0);
        assert_eq!(none, [54; 3]);
        assert!(cold[2] > cold[1] && hot[0] > hot[2] && hot[1] > cold[1], "{cold:?} {hot:?}");
        // A scale of width zero is not a division by zero.
        assert_eq!(overlay(&picture, &map, (1.0, 1.0)).get_pixel(1, 0).0, cold);
    }

    #[test]
    fn a_sheet_holds_pictures_of_any_shape() {
        for (width, height) in [(1, 900), (900, 1), (30, 20), (2000, 1500)] {
            let panel = || Panel {
                caption: "a caption of some length, with \u{e9}".to_owned(),
                picture: RgbImage::from_pixel(width, height, Rgb([200, 0, 0])),
                scale: Some(("low".to_owned(), "high".to_owned())),
            };
            let panels = [panel(), panel(), panel()];
            let sheet = sheet("title", &panels.iter().collect::<Vec<_>>(), 2);
            let reds = sheet.pixels().filter(|pixel| pixel.0 == [200, 0, 0]).count();
            assert!(reds > 0 && reds % 3 == 0, "{width} x {height}: {reds}");
            let read = image::load_from_memory(&png(&sheet)).unwrap();
            assert_eq!(read.into_rgb8(), sheet);
        }
    }
}
