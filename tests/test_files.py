"""A file is written whole, or not at all."""

import stat

import pytest

from kbnn._files import UNFINISHED, replace_file


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_old_file(tmp_path, error):
    file = tmp_path / "file.txt"
    file.write_text("old")

    def fail():
        with replace_file(file) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_new_file_has_a_new_file_s_permissions(tmp_path):
    (tmp_path / "like").touch()
    with replace_file(tmp_path / "file") as temporary:
        temporary.touch()
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_a_replaced_file_keeps_its_permissions(tmp_path):
    file = tmp_path / "file"
    file.write_text("old")
    file.chmod(0o640)
    with replace_file(file) as temporary:
        temporary.write_text("new")
    assert file.read_text() == "new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    link, file = tmp_path / "link", tmp_path / "folder" / "file"
    link.symlink_to(file)
    with replace_file(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert file.read_text() == "new"


def test_the_temporary_file_has_the_same_name_in_a_folder_beside_the_file(tmp_path):
    with replace_file(tmp_path / "model.keras") as temporary:
        assert temporary.name == "model.keras"
        assert temporary.parent.name.startswith(UNFINISHED)
        assert temporary.parent.parent == tmp_path
        temporary.touch()


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), replace_file(tmp_path / "missing" / "file"):
        pass
