//! Every page renders whatever is in it, escapes it, and keeps to the policy that pages are sent with.

mod samples;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use flate2::{Compression, write::GzEncoder};
use samples::{HOSTILE, LONG, RIGHT_TO_LEFT, Sample, WHOLE_REFERENCE, worst, worst_email};
use scraper::{ElementRef, Html, Selector};

static SAMPLES: LazyLock<Vec<Sample>> = LazyLock::new(samples::all);

fn select<'a>(page: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    page.select(&Selector::parse(selector).expect("a selector")).collect()
}

/// Look at every page, at entries of a list that are alike once: a full page has fifty.
fn each(mut check: impl FnMut(&Sample, &Html)) {
    for sample in SAMPLES.iter() {
        check(sample, &Html::parse_document(&folded(&sample.html)));
    }
}

/// The same with all that is on it.
fn each_whole(check: impl Fn(&Sample, &Html)) {
    for sample in SAMPLES.iter() {
        check(sample, &Html::parse_document(&sample.html));
    }
}

#[test]
fn nothing_that_people_type_becomes_markup() {
    each(|sample, page| {
        assert!(!sample.html.contains("<script>"), "{}: a hostile text was not escaped", sample.name);
        for script in select(page, "script") {
            let source = script.attr("src").unwrap_or_default();
            assert!(source.starts_with("/static/"), "{}: a script from {source:?}", sample.name);
        }
        assert!(select(page, "b").is_empty(), "{}: a hostile text made an element", sample.name);
    });
}

#[test]
fn no_page_needs_more_than_the_policy_allows() {
    each(|sample, page| {
        assert!(select(page, "style, [style], iframe, object").is_empty(), "{}: inline style", sample.name);
        for element in select(page, "*") {
            let inline =
                element.value().attrs().find(|(name, _)| name.starts_with("on") || name.starts_with("hx-on"));
            assert!(inline.is_none(), "{}: inline script {inline:?}", sample.name);
        }
    });
}

#[test]
fn ids_are_unique_and_labels_find_their_controls() {
    each_whole(|sample, page| {
        let mut ids = HashSet::new();
        for element in select(page, "[id]") {
            let id = element.attr("id").unwrap();
            assert!(ids.insert(id), "{}: the id {id:?} occurs twice", sample.name);
        }
        let referring = [
            ("label[for]", "for"),
            ("[aria-describedby]", "aria-describedby"),
            ("[popovertarget]", "popovertarget"),
        ];
        for (selector, attribute) in referring {
            for element in select(page, selector) {
                let id = element.attr(attribute).unwrap();
                assert!(ids.contains(id), "{}: {attribute}={id:?} refers to nothing", sample.name);
            }
        }
        for control in select(page, "input:not([type=hidden]), select, textarea") {
            let labelled = control.attr("aria-label").is_some()
                || control
                    .ancestors()
                    .any(|node| node.value().as_element().is_some_and(|it| it.name() == "label"))
                || control.attr("id").is_some_and(|id| !select(page, &format!("label[for={id}]")).is_empty());
            assert!(labelled, "{}: {} has no label", sample.name, control.html());
        }
    });
}

#[test]
fn every_form_that_changes_something_carries_the_token() {
    each(|sample, page| {
        for form in select(page, "form[method=post]") {
            let token = Selector::parse("input[type=hidden][name=csrf_token]").unwrap();
            assert_eq!(form.select(&token).count(), 1, "{}: {}", sample.name, form.html());
        }
        assert!(select(page, "form:not([method])").is_empty(), "{}: a form without a method", sample.name);
    });
}

#[test]
fn every_page_has_one_heading_a_title_and_a_main_part() {
    each(|sample, page| {
        // Drawings have titles of their own.
        for selector in ["h1", "main", "head title", "a.skip"] {
            assert_eq!(select(page, selector).len(), 1, "{}: {selector}", sample.name);
        }
    });
}

#[test]
fn no_password_is_ever_sent_back() {
    each(|sample, page| {
        assert!(select(page, "input[type=password][value]").is_empty(), "{}", sample.name);
    });
}

#[test]
fn every_time_reads_in_words_and_tells_exactly_on_hover() {
    each(|sample, page| {
        for time in select(page, "time") {
            let title = time.attr("title").unwrap_or_default();
            assert!(title.ends_with(" UTC") && title.len() == 30, "{}: {title:?}", sample.name);
            assert!(time.attr("datetime").is_some_and(|it| it.ends_with('Z')), "{}", sample.name);
        }
    });
}

/// What is sent of it, at the level that the server packs with.
fn sent(bytes: &[u8]) -> usize {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(bytes).expect("memory takes it");
    packed.finish().expect("memory takes it").len()
}

/// A page may weigh 150 KB before its data.
#[test]
fn an_empty_page_with_all_it_loads_is_light() {
    let loaded: usize = syncline_web::assets::addresses()
        .filter(|address| !address.ends_with(".txt") && !address.contains("latin-ext"))
        .map(|address| sent(&syncline_web::assets::find(&address).unwrap().bytes))
        .sum();
    for sample in SAMPLES.iter().filter(|sample| sample.name.ends_with("-empty")) {
        let weight = sent(sample.html.as_bytes()) + loaded;
        assert!(weight < 150 * 1024, "{}: {weight} bytes", sample.name);
    }
}

/// Every file below `folder`, a path of this crate.
fn files(folder: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("a folder can be read").path();
            if path.is_dir() { walk(&path, files) } else { files.push(path) }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut found);
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The templates that are whole pages, with the layout of each.
fn page_templates() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates");
    let layout = |path: &Path| {
        let text = read(path);
        let (_, rest) = text.split_once("{% extends \"")?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    files("../templates")
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "html"))
        .filter_map(|path| {
            let name = path.strip_prefix(&root).expect("it is below the root");
            Some((name.to_str().expect("names are plain").to_owned(), layout(path)?))
        })
        .collect()
}

/// The template of every page type, by the name of the type as the compiler gives it.
fn templates_of_types() -> HashMap<String, String> {
    let mut found = HashMap::new();
    for path in files("src/pages") {
        let module = path.file_stem().and_then(|stem| stem.to_str()).expect("names are plain");
        for part in read(&path).split("#[template(path = \"").skip(1) {
            let (template, rest) = part.split_once('"').expect("a path ends");
            let (_, rest) = rest.split_once("struct ").expect("a template has a type");
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
            found.insert(format!("syncline_web::pages::{module}::{name}"), template.to_owned());
        }
    }
    found
}

const FORMS: [&str; 3] = ["empty", "typical", "extreme"];

/// Whoever adds a page adds what it looks like with nothing, with the usual and with the worst in it.
#[test]
fn every_page_has_an_empty_a_typical_and_an_extreme_sample() {
    let types = templates_of_types();
    let mut forms: BTreeMap<&str, BTreeSet<(&str, &str)>> = BTreeMap::new();
    for sample in SAMPLES.iter() {
        let template = types.get(sample.page).unwrap_or_else(|| panic!("{}: no template", sample.page));
        if let Some((page, form)) = sample.name.rsplit_once('-').filter(|(_, form)| FORMS.contains(form)) {
            forms.entry(template).or_default().insert((page, form));
        }
    }
    let lacking: Vec<String> = page_templates()
        .keys()
        .filter(|template| {
            let forms = forms.get(template.as_str());
            let has_all = |page: &str| {
                forms.is_some_and(|forms| FORMS.iter().all(|form| forms.contains(&(page, *form))))
            };
            !forms.is_some_and(|forms| forms.iter().any(|(page, _)| has_all(page)))
        })
        .cloned()
        .collect();
    assert!(lacking.is_empty(), "no NAME-empty, NAME-typical and NAME-extreme of {lacking:?}");
    let names: HashSet<&str> = SAMPLES.iter().map(|sample| sample.name.as_str()).collect();
    assert_eq!(names.len(), SAMPLES.len(), "two samples have one name");
}

/// The samples of which the whole page is stored, not only its main part: with each layout, outside, in an
/// organisation, in an app.
const WHOLE: [&str; 6] =
    ["landing-empty", "error-typical", "tenants-empty", "home-extreme", "users-empty", "keys-viewer"];

#[test]
fn every_layout_is_stored_whole() {
    let types = templates_of_types();
    let templates = page_templates();
    let whole: BTreeSet<&String> = SAMPLES
        .iter()
        .filter(|sample| WHOLE.contains(&sample.name.as_str()))
        .map(|sample| &templates[&types[sample.page]])
        .collect();
    assert_eq!(whole, templates.values().collect());
    assert!(WHOLE.iter().all(|name| SAMPLES.iter().any(|sample| sample.name == *name)));
}

/// What is stored of a sample: its main part, short enough to be read.
fn stored(sample: &Sample) -> String {
    let page = sample.html.as_str();
    let main = || {
        let (_, rest) = page.split_once("<main ").expect("a page has a main part");
        let (main, _) = rest.split_once("</main>").expect("it ends");
        format!("<main {main}</main>")
    };
    let part = if WHOLE.contains(&sample.name.as_str()) { page.to_owned() } else { main() };
    // The address of an asset changes with any of them.
    let hash = syncline_web::assets::url("css/base.css");
    let hash = hash.split('/').nth(2).expect("an address has a hash");
    let mut part = part.replace(hash, "HASH");
    // Long texts by their names, so that what surrounds them can be read; the override would flip it as well.
    for (name, text) in [
        ("WORST", worst().as_str()),
        ("EMAIL", worst_email().as_str()),
        ("LONG", LONG),
        ("HOSTILE", HOSTILE),
        ("RTL", RIGHT_TO_LEFT),
    ] {
        part = part.replace(&escaped(text), &format!("{{{name}}}"));
        part = part.replace(&encoded(text), &format!("{{{name}, encoded}}"));
    }
    let lines: Vec<&str> = part.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    folded(&lines.join("\n"))
}

fn escaped(text: &str) -> String {
    askama::filters::escape(text, askama::filters::Html)
        .map_or_else(|never| match never {}, |safe| safe.to_string())
}

fn encoded(text: &str) -> String {
    let address = syncline_web::links::with_query("", &[("x", text)]);
    address.trim_start_matches("?x=").to_owned()
}

/// Entries of a list that are alike once, and how many there are.
fn folded(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut entries = html.split_inclusive("</tr>").flat_map(|part| part.split_inclusive("</li>")).peekable();
    while let Some(entry) = entries.next() {
        let mut times = 1;
        while entries.next_if_eq(&entry).is_some() {
            times += 1;
        }
        text.push_str(entry);
        if times > 1 {
            text.push_str(&format!("<!-- {times} times -->"));
        }
    }
    text
}

#[test]
fn every_page_renders_as_it_did() {
    let mut names = HashSet::new();
    for sample in SAMPLES.iter().filter(|sample| sample.name != WHOLE_REFERENCE) {
        insta::assert_snapshot!(sample.name.as_str(), stored(sample));
        names.insert(format!("rendering__{}.snap", sample.name));
    }
    for file in files("tests/snapshots") {
        let name = file.file_name().and_then(|name| name.to_str()).expect("names are plain");
        assert!(name.ends_with(".new") || names.contains(name), "{name} is of no sample any more");
    }
}

/// Begins to write from right to left whatever comes, until the paragraph or the isolated part ends.
const OVERRIDE: char = '\u{202e}';

/// Texts of any direction keep to themselves: what follows one reads as it would after any other.
#[test]
fn nothing_is_turned_around_by_a_text_before_it() {
    let mut found = Vec::new();
    each(|sample, page| {
        // Code has to be copied as it is.
        for element in select(page, "body *:not(pre > code)") {
            for (place, node) in element.children().enumerate() {
                let Some((_, rest)) = node.value().as_text().and_then(|text| text.rsplit_once(OVERRIDE))
                else {
                    continue;
                };
                let rest = rest.strip_prefix("abc").unwrap_or(rest);
                let rest = rest.strip_prefix("@example.org").unwrap_or(rest).to_owned();
                let follows = format!("{rest}{}", what_follows(element, place));
                if !follows.trim().is_empty() {
                    let html: String = element.html().chars().take(100).collect();
                    found.push(format!("{}: {:?} after {html}", sample.name, follows.trim()));
                }
            }
        }
    });
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// The text of the same paragraph that comes after a child of `element`.
fn what_follows(mut element: ElementRef<'_>, mut child: usize) -> String {
    let mut text = String::new();
    loop {
        for next in element.children().skip(child + 1) {
            match ElementRef::wrap(next) {
                Some(next) if is_block(next) => return text,
                Some(next) => text.extend(next.text()),
                None => text.extend(next.value().as_text().map(|text| text.to_string())),
            }
        }
        if is_block(element) || is_isolated(element) {
            return text;
        }
        let parent = element.parent().and_then(ElementRef::wrap).expect("the body is a block");
        child = parent.children().position(|child| child.id() == element.id()).expect("it is a child of it");
        element = parent;
    }
}

/// A paragraph of its own, by what it is or by its class in the style sheets.
fn is_block(element: ElementRef<'_>) -> bool {
    const INLINE: [&str; 16] = [
        "a", "span", "strong", "code", "bdi", "q", "ins", "del", "time", "mark", "svg", "input", "select",
        "button", "label", "b",
    ];
    const CLASSES: [&str; 8] = [
        "sub",
        "column-type",
        "side-note",
        "choice-label",
        "choice-sentence",
        "question-what",
        "question-sentence",
        "place-kind",
    ];
    let element = element.value();
    !INLINE.contains(&element.name()) || element.classes().any(|class| CLASSES.contains(&class))
}

/// Kept from what is around it, by an attribute, or by the style sheets as code and boxes in a line are.
fn is_isolated(element: ElementRef<'_>) -> bool {
    let element = element.value();
    matches!(element.name(), "bdi" | "code" | "button" | "label")
        || element.attr("dir").is_some()
        || element.classes().any(|class| ["cut", "badge", "button"].contains(&class))
}
