//! The page itself: plain HTML, CSS and JavaScript modules, in the binary.

/// A file of the page.
pub(crate) struct Asset {
    pub(crate) path: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

macro_rules! asset {
    ($path:literal, $type:expr, $file:literal) => {
        Asset { path: $path, content_type: $type, text: include_str!(concat!("assets/", $file)) }
    };
}

/// All of them.
pub(crate) const ASSETS: &[Asset] = &[
    asset!("/", HTML, "index.html"),
    asset!("/style.css", CSS, "style.css"),
    asset!("/icon.svg", SVG, "icon.svg"),
    asset!("/app.js", JAVASCRIPT, "app.js"),
    asset!("/api.js", JAVASCRIPT, "api.js"),
    asset!("/destinations.js", JAVASCRIPT, "destinations.js"),
    asset!("/detail.js", JAVASCRIPT, "detail.js"),
    asset!("/dom.js", JAVASCRIPT, "dom.js"),
    asset!("/events.js", JAVASCRIPT, "events.js"),
    asset!("/format.js", JAVASCRIPT, "format.js"),
    asset!("/minutes.js", JAVASCRIPT, "minutes.js"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// I3, and the policy that forbids the same: no markup out of text, no script or style in the
    /// page itself, nothing from elsewhere.
    #[test]
    fn nothing_of_the_page_makes_markup_of_text_or_comes_from_elsewhere() {
        let forbidden = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "<style",
            "style=\"",
            "onclick=",
            "onload=",
            "https://",
            "http://",
        ];
        for asset in ASSETS {
            for word in forbidden {
                let found = asset.text.replace("http://www.w3.org/2000/svg", "").contains(word);
                assert!(!found, "{} has {word}", asset.path);
            }
        }
    }
}
