"""The report of a prepared corpus: its numbers as `report.json`, and a page with players as `report.html`."""

from tts_meta.report.corpus.report import PAGE_FILE, REPORT_FILE, CorpusReport, write_corpus_report

__all__ = ["PAGE_FILE", "REPORT_FILE", "CorpusReport", "write_corpus_report"]
