"""What several folders of tests share: no tests."""
