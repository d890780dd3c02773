"""Generated sections of documents."""

import pytest

from reporting import document_sections

DOCUMENT = """# Title

<!-- generated: first -->
old
<!-- end generated -->

between

<!-- generated: second -->
<!-- end generated -->
after
"""


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(DOCUMENT, encoding="utf-8")
    return path


def test_embed_replaces_only_its_section_and_is_idempotent(document):
    assert document_sections.embed(document, "first", "| a |\n\n")
    assert document.read_text(encoding="utf-8") == DOCUMENT.replace("old", "| a |")
    assert not document_sections.embed(document, "first", "| a |")
    assert document_sections.embed(document, "second", "é\n\nb")
    assert "second -->\né\n\nb\n<!-- end" in document.read_text(encoding="utf-8")
    assert not document_sections.embed(document, "second", "é\n\nb", check=True)


def test_check_changes_nothing(document):
    with pytest.raises(ValueError, match="section first differs"):
        document_sections.embed(document, "first", "new", check=True)
    assert document.read_text(encoding="utf-8") == DOCUMENT


def test_names(document):
    assert document_sections.names(document) == ["first", "second"]


def test_unknown_section(document):
    with pytest.raises(ValueError, match="no section <!-- generated: third -->; there are: first, second"):
        document_sections.embed(document, "third", "x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DOCUMENT.replace("after", "<!-- generated: open -->"), "section open has no"),
        (DOCUMENT.replace("between", "<!-- end generated -->"), "line 7: .* does not pair up"),
        (DOCUMENT.replace("old", "<!-- generated: inner -->"), "line 4: .* does not pair up"),
        (DOCUMENT.replace("second", "first"), "a second section first"),
    ],
)
def test_unpaired_markers(document, text, message):
    document.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        document_sections.embed(document, "first", "x")
    assert document.read_text(encoding="utf-8") == text


def test_text_with_a_marker_is_refused(document):
    with pytest.raises(ValueError, match="holds a marker itself"):
        document_sections.embed(document, "first", "a\n<!-- end generated -->")
