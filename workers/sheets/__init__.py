"""Reads spreadsheets: .xlsx, .xlsm, .xls, .xlsb and .ods."""
