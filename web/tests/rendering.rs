//! Every page renders whatever is in it, escapes it, and keeps to the policy that pages are sent with.

mod samples;

use std::{collections::HashSet, io::Write as _};

use flate2::{Compression, write::GzEncoder};
use samples::{Sample, all};
use scraper::{Html, Selector};

fn select<'a>(page: &'a Html, selector: &str) -> Vec<scraper::ElementRef<'a>> {
    page.select(&Selector::parse(selector).expect("a selector")).collect()
}

fn each(check: impl Fn(&Sample, &Html)) {
    for sample in all() {
        check(&sample, &Html::parse_document(&sample.html));
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
    each(|sample, page| {
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
    for sample in all().iter().filter(|sample| sample.name.ends_with("-empty")) {
        let weight = sent(sample.html.as_bytes()) + loaded;
        assert!(weight < 150 * 1024, "{}: {weight} bytes", sample.name);
    }
}

#[test]
fn the_worst_data_renders_as_it_did() {
    for sample in all().iter().filter(|sample| sample.name.ends_with("-extreme")) {
        let hash = syncline_web::assets::url("css/base.css");
        let hash = hash.split('/').nth(2).unwrap();
        insta::assert_snapshot!(sample.name.as_str(), sample.html.replace(hash, "HASH"));
    }
}
