//! A browser, driven over the protocol of `chromedriver` (`WebDriver` of the W3C).

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::poll::until;

/// Set where a browser must be there: a test that would be left out fails then.
const REQUIRED: &str = "MINUTELOG_TEST_BROWSER";

/// A headless Chromium with one page.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    /// What it says goes on to be taken: it must not end for want of a reader.
    _said: BufReader<ChildStdout>,
    session: String,
    http: reqwest::blocking::Client,
    _profile: TempDir,
}

impl Browser {
    /// Starts one with a page of so many pixels; `None`, and a line that says so, where there is none.
    pub fn start(width: u32, height: u32) -> Option<Self> {
        let (Some(chromium), Some(chromedriver)) = (program("chromium"), program("chromedriver"))
        else {
            assert!(env::var_os(REQUIRED).is_none(), "{REQUIRED} is set, and there is no browser");
            eprintln!(
                "\n*** SKIPPED: no chromium or no chromedriver here: the page was NOT tested in a browser ***\n"
            );
            return None;
        };
        let profile = TempDir::with_prefix("minutelog-browser-").expect("a temporary directory");
        let mut driver = Command::new(chromedriver)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver can be started");
        let mut said = BufReader::new(driver.stdout.take().expect("it was asked for"));
        let port_of = |line: &str| {
            let (_, port) = line.split_once("successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        };
        let port = said
            .by_ref()
            .lines()
            .map_while(Result::ok)
            .find_map(|line| port_of(&line))
            .expect("chromedriver says its port");
        let http = reqwest::blocking::Client::builder().no_proxy().build().expect("a client");
        let args = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--hide-scrollbars",
            &format!("--window-size={width},{height}"),
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let options = json!({ "binary": chromium, "args": args });
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let base = format!("http://127.0.0.1:{port}/session");
        let mut this = Self { driver, _said: said, session: base, http, _profile: profile };
        let made = this.post("", &wanted);
        let id = made["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {made}"));
        this.session = format!("{}/{id}", this.session);
        Some(this)
    }

    /// Opens a page.
    pub fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// What a script returns.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// The text of the first element that a selector matches; empty where there is none.
    pub fn text(&self, selector: &str) -> String {
        let selector = Value::from(selector);
        let text = self.run(&format!(
            "const it = document.querySelector({selector}); return it && !it.closest('[hidden]') ? it.innerText : '';"
        ));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the text of an element is as it should be, and returns it.
    pub fn text_when(&self, selector: &str, is_so: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        until(&format!("{selector} to be as it should"), || {
            let text = self.text(selector);
            if text != last {
                eprintln!("{selector}: {text:?}");
                last.clone_from(&text);
            }
            is_so(&text).then_some(text)
        })
    }

    /// Presses keys, one after the other; `\u{e007}` is Enter, `\u{e00c}` Escape.
    pub fn press(&self, keys: &str) {
        let presses = keys.chars().flat_map(|key| {
            ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }))
        });
        let presses: Vec<Value> = presses.collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": presses });
        self.post("/actions", &json!({ "actions": [keyboard] }));
    }

    /// What the page has said to its console: errors, and what its policy forbade.
    pub fn complaints(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().cloned().unwrap_or_default();
        let complaints = entries.iter().filter(|entry| entry["level"] != "DEBUG");
        complaints.map(|entry| entry["message"].to_string()).collect()
    }

    /// Asks the browser itself, by the protocol of its tools for developers.
    pub fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
    }

    /// Lets the page believe in a system of this colour scheme: `light` or `dark`.
    pub fn prefer(&self, scheme: &str) {
        let feature = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": feature }));
    }

    /// Lets the page believe in a screen of this size, a phone's or another.
    pub fn screen(&self, width: u32, height: u32, is_phone: bool) {
        let metrics = json!({
            "width": width, "height": height, "mobile": is_phone,
            "deviceScaleFactor": 1,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Writes a picture of what is to be seen, as PNG.
    pub fn picture(&self, path: &Path) {
        let answer = self.devtools("Page.captureScreenshot", &json!({ "format": "png" }));
        let data = answer["data"].as_str().expect("a picture in base 64");
        fs::write(path, from_base64(data)).expect("the disk takes it");
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.session);
        let request = self.http.post(url).header("Content-Type", "application/json");
        let answer = request.body(body.to_string()).send().expect("chromedriver answers");
        let status = answer.status();
        let text = answer.text().expect("chromedriver answers");
        let mut document: Value = serde_json::from_str(&text).expect("chromedriver speaks JSON");
        assert!(status.is_success(), "{path} {body}: {document}");
        document["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with its session, the driver by being killed.
        self.http.delete(&self.session).send().ok();
        if self.driver.kill().is_ok() {
            self.driver.wait().ok();
        }
    }
}

/// Where a program is, if anywhere.
fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(name)).find(|program| program.is_file())
}

fn from_base64(text: &str) -> Vec<u8> {
    let value = |digit: u8| match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u8> = text.bytes().filter_map(value).collect();
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3);
    for group in digits.chunks(4) {
        let bits = group.iter().fold(0_u32, |bits, digit| (bits << 6) | u32::from(*digit));
        let bits = bits << (6 * (4 - group.len()));
        let [_, first, second, third] = bits.to_be_bytes();
        bytes.extend([first, second, third].iter().take(group.len() - 1));
    }
    bytes
}
